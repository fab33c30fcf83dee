// Growing, shrinking and smoothing of masks, independent of the page.
//
// A mask is a byte per pixel, whose lowest bit is bone. Work is done on runs, the pixels of one value that follow each
// other in a row, since a mask has far fewer of them than pixels. Results are spans: see raster.js.

const BONE = 1;

// The pixels that become bone (grow) or stop being it (shrink) where the bone, or what is around it, spreads by a
// disc of `radius` px.
export const grown = (values, width, height, radius) => spread(runsOf(values, width, height, BONE), width, height, radius);

export const shrunk = (values, width, height, radius) => spread(runsOf(values, width, height, 0), width, height, radius);

// The pixels to add and to remove so that each is what most of the square of 2 `radius` + 1 px around it is; a tie
// leaves it as it is. Beyond the film, the square is smaller.
export function smoothed(values, width, height, radius) {
  const rows = runsOf(values, width, height, BONE);
  const side = 2 * radius + 1;
  const [added, removed] = [[], []];
  const columns = new Uint16Array(width + side); // bone in the square's rows, by column from -radius - 1
  const count = (y, one) => {
    for (let run = rows.first[y]; run < rows.first[y + 1]; run += 2)
      for (let x = rows.ends[run], end = rows.ends[run + 1]; x < end; x++) columns[x + radius + 1] += one;
  };
  const from = Math.max(0, rows.left - radius);
  const to = Math.min(width, rows.right + radius);
  for (let y = 0; y < Math.min(radius, height); y++) count(y, 1);
  for (let y = 0; y < height; y++) {
    if (y + radius < height) count(y + radius, 1);
    if (y > radius) count(y - radius - 1, -1);
    const tall = Math.min(height, y + radius + 1) - Math.max(0, y - radius);
    const full = side * tall;
    let bone = 0;
    for (let x = from - radius; x < from + radius; x++) bone += columns[x + radius + 1];
    let [change, start] = [0, 0];
    for (let x = from, at = y * width + from; x < to; x++, at++) {
      bone += columns[x + side] - columns[x];
      let now = 0;
      if (bone && bone !== full) {
        const wide = x >= radius && x < width - radius ? side : Math.min(width, x + radius + 1) - Math.max(0, x - radius);
        const excess = 2 * bone - wide * tall;
        if (values[at] & BONE ? excess < 0 : excess > 0) now = Math.sign(excess);
      }
      if (now === change) continue;
      if (change) (change > 0 ? added : removed).push(y, start, x);
      change = now;
      start = x;
    }
    if (change) (change > 0 ? added : removed).push(y, start, to);
  }
  return { added, removed };
}

// The runs of a value. ends: [x0, x1) of each, flat; first: where those of a row begin, and after the last row; left,
// right: the columns between which they all are.
function runsOf(values, width, height, value) {
  const ends = [];
  const first = new Uint32Array(height + 1);
  let [left, right] = [width, 0];
  for (let y = 0, at = 0; y < height; y++) {
    first[y] = ends.length;
    let inside = false;
    for (let x = 0; x < width; x++, at++) {
      if (((values[at] & BONE) === value) === inside) continue;
      inside = !inside;
      ends.push(x);
    }
    if (inside) ends.push(width);
    if (first[y] === ends.length) continue;
    left = Math.min(left, ends[first[y]]);
    right = Math.max(right, ends.at(-1));
  }
  first[height] = ends.length;
  return { ends, first, left, right };
}

// The spans of the pixels within `radius` of a run that are not in one: each row takes the runs of the rows around it,
// as much wider as the disc is there.
function spread({ ends, first }, width, height, radius) {
  const reaches = Array.from({ length: 2 * radius + 1 }, (_, at) => Math.floor(Math.sqrt(radius ** 2 - (at - radius) ** 2)));
  const line = new Uint8Array(width);
  const spans = [];
  for (let y = 0; y < height; y++) {
    const [top, bottom] = [Math.max(0, y - radius), Math.min(height, y + radius + 1)];
    if (first[top] === first[bottom]) continue;
    line.fill(0);
    for (let row = top; row < bottom; row++) {
      const reach = reaches[row - y + radius];
      for (let run = first[row]; run < first[row + 1]; run += 2) line.fill(1, Math.max(0, ends[run] - reach), ends[run + 1] + reach);
    }
    for (let run = first[y]; run < first[y + 1]; run += 2) line.fill(0, ends[run], ends[run + 1]);
    for (let x = line.indexOf(1); x >= 0; ) {
      const end = line.indexOf(0, x);
      spans.push(y, x, end < 0 ? width : end);
      x = end < 0 ? -1 : line.indexOf(1, end);
    }
  }
  return spans;
}
