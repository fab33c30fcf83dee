// Lookup of film pixels for the pixels of a screen, independent of the page.

// The film pyramid: each level halves the one before, a pixel being the mean of four.
export function pyramid(film) {
  const levels = [film];
  while (Math.max(levels.at(-1).width, levels.at(-1).height) > 512) {
    const { width, height, pixels } = levels.at(-1);
    const [w, h] = [Math.max(1, width >> 1), Math.max(1, height >> 1)];
    if (w === width || h === height) break;
    const half = new Uint16Array(w * h);
    for (let y = 0, i = 0; y < h; y++) {
      const upper = 2 * y * width;
      const lower = upper + width;
      for (let x = 0; x < w; x++, i++) {
        const a = upper + 2 * x;
        const b = lower + 2 * x;
        half[i] = (pixels[a] + pixels[a + 1] + pixels[b] + pixels[b + 1] + 2) >> 2;
      }
    }
    levels.push({ width: w, height: h, pixels: half });
  }
  return levels;
}

// The pixels of a line of `size` that each of `count` screen pixels shows: the nearest, or two and the
// weight of the second.
export function sampling(count, start, scale, size, mix) {
  const first = new Int32Array(count);
  const second = new Int32Array(count);
  const share = new Float32Array(count);
  for (let i = 0; i < count; i++) {
    const at = (i + 0.5 - start) / scale;
    if (at < 0 || at >= size) {
      first[i] = -1;
      continue;
    }
    const low = mix ? Math.floor(at - 0.5) : Math.floor(at);
    first[i] = Math.max(0, low);
    second[i] = Math.min(size - 1, low + 1);
    share[i] = mix ? Math.max(0, at - 0.5 - low) : 0;
  }
  return { first, second, share };
}
