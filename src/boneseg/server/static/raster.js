// Geometry on a pixel grid, independent of the page.
//
// A region is an array of spans, [y, x0, x1) flat, three numbers each. Pixel (x, y) covers the square
// from (x, y) to (x + 1, y + 1).

// The spans of a round brush of diameter `size` px near (x, y). Odd sizes are centred on a pixel, even ones
// on a corner, so that a brush of one pixel draws the pixel under the pointer.
export function disc(x, y, size) {
  const odd = size % 2;
  const cx = odd ? Math.floor(x) + 0.5 : Math.round(x);
  const cy = odd ? Math.floor(y) + 0.5 : Math.round(y);
  const r = size / 2;
  const spans = [];
  for (let row = Math.floor(cy - r); row < cy + r; row++) {
    const dy = row + 0.5 - cy;
    const half = r * r - dy * dy;
    if (half < 0) continue;
    const reach = Math.sqrt(half);
    const from = Math.ceil(cx - reach - 0.5);
    const to = Math.floor(cx + reach - 0.5) + 1;
    if (to > from) spans.push(row, from, to);
  }
  return spans;
}

// The pixels whose centres lie inside a polygon of [x, y] points.
export const polygon = (points) => inside([points]);

// The pixels whose centres lie inside rings of [x, y] points, by the even-odd rule.
export function inside(rings) {
  const crossed = new Map(); // row: where edges cross the middle of its pixels
  for (const points of rings) {
    for (let i = 0; i < points.length; i++) {
      const [x0, y0] = points[i];
      const [x1, y1] = points[(i + 1) % points.length];
      const [top, bottom] = y0 < y1 ? [y0, y1] : [y1, y0];
      for (let row = Math.ceil(top - 0.5); row + 0.5 < bottom; row++) {
        if (!crossed.has(row)) crossed.set(row, []);
        crossed.get(row).push(x0 + ((row + 0.5 - y0) / (y1 - y0)) * (x1 - x0));
      }
    }
  }
  const spans = [];
  for (const [row, crossings] of [...crossed].sort(([a], [b]) => a - b)) {
    crossings.sort((a, b) => a - b);
    for (let i = 0; i + 1 < crossings.length; i += 2) {
      const from = Math.ceil(crossings[i] - 0.5);
      const to = Math.ceil(crossings[i + 1] - 0.5);
      if (to > from) spans.push(row, from, to);
    }
  }
  return spans;
}

// The spans of the pixels of a region that are in none of the others.
export function difference(region, others, width, height) {
  const gone = new Uint8Array(width * height);
  for (const spans of others) for (let i = 0; i < spans.length; i += 3) gone.fill(1, spans[i] * width + spans[i + 1], spans[i] * width + spans[i + 2]);
  const rest = [];
  for (let i = 0; i < region.length; i += 3) {
    const [row, end] = [region[i], region[i + 2]];
    for (let x = region[i + 1]; x < end; x++) {
      if (gone[row * width + x]) continue;
      const from = x;
      while (x < end && !gone[row * width + x]) x++;
      rest.push(row, from, x);
    }
  }
  return rest;
}

// The 4-connected region around (x, y) in which test(index) holds.
export function flood(width, height, x, y, test) {
  const spans = [];
  if (x < 0 || y < 0 || x >= width || y >= height || !test(y * width + x)) return spans;
  const seen = new Uint8Array(width * height);
  const stack = [x, y];
  while (stack.length) {
    const row = stack.pop();
    const start = stack.pop();
    const base = row * width;
    if (seen[base + start]) continue;
    let from = start;
    while (from > 0 && test(base + from - 1)) from--;
    let to = start + 1;
    while (to < width && test(base + to)) to++;
    seen.fill(1, base + from, base + to);
    spans.push(row, from, to);
    for (const next of [row - 1, row + 1]) {
      if (next < 0 || next >= height) continue;
      const there = next * width;
      let inside = false;
      for (let i = from; i < to; i++) {
        const open = test(there + i) && !seen[there + i];
        if (open && !inside) stack.push(i, next);
        inside = open;
      }
    }
  }
  return spans;
}

// The spans of every 4-connected region in which test(index) holds that has fewer than `most` pixels and,
// with `inner`, does not touch the border. Two passes over runs, union-find.
export function smallRegions(width, height, test, most, inner = false) {
  const runs = []; // y, x0, x1
  const parent = [];
  const find = (run) => {
    while (parent[run] !== run) run = parent[run] = parent[parent[run]];
    return run;
  };
  let above = 0; // the first run of the row above
  let current = 0;
  for (let y = 0; y < height; y++) {
    const first = parent.length;
    for (let x = 0, base = y * width; x < width; x++) {
      if (!test(base + x)) continue;
      const from = x;
      while (x < width && test(base + x)) x++;
      const run = parent.length;
      parent.push(run);
      runs.push(y, from, x);
      while (above < current && runs[above * 3 + 2] <= from) above++;
      for (let other = above; other < current && runs[other * 3 + 1] < x; other++)
        parent[find(other)] = find(run);
    }
    above = first;
    current = parent.length;
  }
  const size = new Map();
  const outer = new Set();
  for (let run = 0; run < parent.length; run++) {
    const root = find(run);
    const [y, from, to] = [runs[run * 3], runs[run * 3 + 1], runs[run * 3 + 2]];
    size.set(root, (size.get(root) ?? 0) + to - from);
    if (inner && (y === 0 || y === height - 1 || from === 0 || to === width)) outer.add(root);
  }
  const spans = [];
  let count = 0;
  const counted = new Set();
  for (let run = 0; run < parent.length; run++) {
    const root = find(run);
    if (size.get(root) >= most || outer.has(root)) continue;
    if (!counted.has(root)) count++;
    counted.add(root);
    spans.push(runs[run * 3], runs[run * 3 + 1], runs[run * 3 + 2]);
  }
  return { spans, count };
}

// Pack to bits, row-major without padding, most significant bit first; and unpack to bytes (0 or 1).
export function unpackBits(bits, count) {
  const values = new Uint8Array(count);
  for (let i = 0; i < count; i++) values[i] = (bits[i >> 3] >> (7 - (i & 7))) & 1;
  return values;
}

export function packBits(values) {
  const bits = new Uint8Array((values.length + 7) >> 3);
  for (let i = 0; i < values.length; i++) bits[i >> 3] |= (values[i] & 1) << (7 - (i & 7));
  return bits;
}

export function boxOf(spans) {
  let [x0, y0, x1, y1] = [Infinity, Infinity, -Infinity, -Infinity];
  for (let i = 0; i < spans.length; i += 3) {
    y0 = Math.min(y0, spans[i]);
    y1 = Math.max(y1, spans[i] + 1);
    x0 = Math.min(x0, spans[i + 1]);
    x1 = Math.max(x1, spans[i + 2]);
  }
  return { x0, y0, x1, y1 };
}
