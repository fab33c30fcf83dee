// Growing, shrinking and smoothing of masks, independent of the page.
//
// Only the box around the bone is looked at, as bytes (1 bone, 0 other). Results are spans: see raster.js.

// The pixels that become bone (grow) or stop being it (shrink) where the bone, or what is around it, spreads by a
// disc of `radius` px.
export function grown(width, height, isBone, radius) {
  const box = cropped(width, height, isBone, radius);
  return box ? spread(box, 1, radius) : [];
}

export function shrunk(width, height, isBone, radius) {
  const box = cropped(width, height, isBone, radius);
  return box ? spread(box, 0, radius) : [];
}

// The pixels to add and to remove so that each is what most of the square of 2 `radius` + 1 px around it is; a tie
// leaves it as it is. Beyond the film, the square is smaller.
export function smoothed(width, height, isBone, radius) {
  const box = cropped(width, height, isBone, 2 * radius); // whole squares, as far as they can hold bone
  if (!box) return { added: [], removed: [] };
  const [w, h] = [box.width, box.height];
  const sums = integral(box);
  const change = new Int8Array(w * h);
  for (let y = 0, i = 0; y < h; y++) {
    const [y0, y1] = [Math.max(0, y - radius), Math.min(h, y + radius + 1)];
    const [top, bottom] = [y0 * (w + 1), y1 * (w + 1)];
    for (let x = 0; x < w; x++, i++) {
      const x0 = x > radius ? x - radius : 0;
      const x1 = x + radius + 1 < w ? x + radius + 1 : w;
      const bone = sums[bottom + x1] - sums[top + x1] - sums[bottom + x0] + sums[top + x0];
      const excess = 2 * bone - (x1 - x0) * (y1 - y0);
      if (box.bone[i] ? excess < 0 : excess > 0) change[i] = box.bone[i] ? -1 : 1;
    }
  }
  return { added: spansOf(box, change, 1), removed: spansOf(box, change, -1) };
}

// The bone with `room` px around it; null where there is none.
function cropped(width, height, isBone, room) {
  let [x0, y0, x1, y1] = [width, height, 0, 0];
  for (let y = 0, i = 0; y < height; y++)
    for (let x = 0; x < width; x++, i++) {
      if (!isBone(i)) continue;
      if (x < x0) x0 = x;
      if (x >= x1) x1 = x + 1;
      if (y < y0) y0 = y;
      y1 = y + 1;
    }
  if (!y1) return null;
  [x0, y0] = [Math.max(0, x0 - room), Math.max(0, y0 - room)];
  [x1, y1] = [Math.min(width, x1 + room), Math.min(height, y1 + room)];
  const bone = new Uint8Array((x1 - x0) * (y1 - y0));
  for (let y = y0, i = 0; y < y1; y++) for (let x = x0; x < x1; x++, i++) bone[i] = isBone(y * width + x) ? 1 : 0;
  return { x0, y0, width: x1 - x0, height: y1 - y0, bone };
}

// The spans of the pixels of another value within `radius` of one of this value: the nearest in each column, then
// the nearest column.
function spread(box, value, radius) {
  const { width, height, bone } = box;
  const far = radius + 1;
  const down = new Uint8Array(width * height);
  for (let i = 0; i < down.length; i++)
    down[i] = bone[i] === value ? 0 : i < width ? far : Math.min(far, down[i - width] + 1);
  for (let i = down.length - width - 1; i >= 0; i--) if (down[i] > down[i + width] + 1) down[i] = down[i + width] + 1;
  const reached = new Int8Array(width * height);
  for (let y = 0, i = 0; y < height; y++)
    for (let x = 0; x < width; x++, i++) {
      if (!down[i]) continue;
      const [left, right] = [Math.min(radius, x), Math.min(radius, width - 1 - x)];
      for (let step = -left; step <= right; step++)
        if (down[i + step] ** 2 + step ** 2 <= radius * radius) {
          reached[i] = 1;
          break;
        }
    }
  return spansOf(box, reached, 1);
}

function integral({ width, height, bone }) {
  const sums = new Uint32Array((width + 1) * (height + 1));
  for (let y = 0, i = 0; y < height; y++) {
    let row = 0;
    for (let x = 0, at = (y + 1) * (width + 1) + 1; x < width; x++, i++, at++) {
      row += bone[i];
      sums[at] = sums[at - width - 1] + row;
    }
  }
  return sums;
}

function spansOf({ x0, y0, width, height }, values, value) {
  const spans = [];
  for (let y = 0; y < height; y++) {
    const base = y * width;
    for (let x = 0; x < width; x++) {
      if (values[base + x] !== value) continue;
      const from = x;
      while (x < width && values[base + x] === value) x++;
      spans.push(y0 + y, x0 + from, x0 + x);
    }
  }
  return spans;
}
