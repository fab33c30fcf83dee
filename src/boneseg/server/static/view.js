// Rendering of the film: greys through window and level, with the mask and the other layers on top.
//
// Each screen pixel looks up its film pixel, so the cost depends on the screen and not on the film: a film
// of 4000 x 5000 pans as fast as a small one, without a GPU and without a texture size limit. Lookups use a
// pyramid of halved films, so reduction is rarely more than two to one. Three buffers of the screen's size
// are kept: grey, layer and colour; a brush stroke updates only the last two, and only around itself.

import { EDGE, greyTable, heatTable, layerTable } from "./colours.js";
import { BONE, TOUCHED } from "./mask.js";
import { pyramid, sampling } from "./sampling.js";

const SETTLE = 140; // ms without a change before smooth rendering

export class View {
  constructor(canvas, marks) {
    this.canvas = canvas;
    this.marks = marks; // an overlay canvas for lines and the brush outline
    this.context = canvas.getContext("2d");
    this.film = null;
    this.scale = 1; // screen pixels a film pixel
    this.left = 0; // position of the film on the screen, px
    this.top = 0;
    this.window = { centre: 0.5, width: 1, invert: false };
    this.show = { mask: true, outline: true, opacity: 0.3, probability: false, compare: false };
    this.level = null; // threshold being previewed, of 256
    this.reference = null; // the reference mask, a byte per pixel
    this.onchange = () => {};
    this.onzoom = () => {};
    this.pending = null;
    this.resize();
  }

  // film: {width, height, pixels: Uint16Array}; mask: Mask; probability: Uint8Array; again: whether the same
  // film was shown, which then stays in its place.
  open(film, mask, probability, again = false) {
    this.film = film;
    this.mask = mask;
    this.probability = probability;
    this.reference = null;
    this.level = null;
    this.levels = pyramid(film);
    if (again) this.redraw();
    else this.fit();
  }

  close() {
    this.film = this.mask = this.probability = this.reference = this.levels = null;
    this.context.clearRect(0, 0, this.canvas.width, this.canvas.height);
    this.onchange();
  }

  resize() {
    const ratio = Math.min(window.devicePixelRatio || 1, 2);
    const box = this.canvas.parentElement.getBoundingClientRect();
    const [width, height] = [Math.round(box.width * ratio), Math.round(box.height * ratio)];
    if (!width || !height) return;
    const [dx, dy] = [(width - this.canvas.width) / 2, (height - this.canvas.height) / 2];
    for (const canvas of [this.canvas, this.marks]) {
      canvas.width = width;
      canvas.height = height;
    }
    this.ratio = ratio;
    this.image = this.context.createImageData(width, height);
    this.colours = new Uint32Array(this.image.data.buffer);
    this.grey = new Uint8Array(width * height);
    this.layer = new Uint8Array(width * height);
    this.left += dx;
    this.top += dy;
    this.redraw();
  }

  fit() {
    if (!this.film) return;
    const { width, height } = this.canvas;
    this.scale = 0.97 * Math.min(width / this.film.width, height / this.film.height);
    this.left = (width - this.film.width * this.scale) / 2;
    this.top = (height - this.film.height * this.scale) / 2;
    this.onzoom();
    this.redraw();
  }

  // Screen (canvas) pixels to film pixels, and back.
  toFilm(x, y) {
    return [(x - this.left) / this.scale, (y - this.top) / this.scale];
  }

  toScreen(x, y) {
    return [x * this.scale + this.left, y * this.scale + this.top];
  }

  // Zoom about the screen point (x, y).
  zoom(factor, x = this.canvas.width / 2, y = this.canvas.height / 2) {
    if (!this.film) return;
    const smallest = 16 / Math.max(this.film.width, this.film.height);
    const scale = Math.min(64, Math.max(smallest, this.scale * factor));
    const [fx, fy] = this.toFilm(x, y);
    this.scale = scale;
    this.left = x - fx * scale;
    this.top = y - fy * scale;
    this.onzoom();
    this.redraw();
  }

  zoomTo(scale) {
    this.zoom((scale * this.ratio) / this.scale);
  }

  pan(dx, dy) {
    if (!this.film) return;
    const { width, height } = this.canvas;
    const keep = 40; // px of the film that stay on the screen
    const [w, h] = [this.film.width * this.scale, this.film.height * this.scale];
    this.left = Math.min(width - keep, Math.max(keep - w, this.left + dx));
    this.top = Math.min(height - keep, Math.max(keep - h, this.top + dy));
    this.redraw();
  }

  // Redraw everything in the next frame; smoothly once nothing has changed for SETTLE ms.
  redraw() {
    this.whole = true;
    this.#schedule();
    clearTimeout(this.settling);
    this.settling = setTimeout(() => {
      this.smooth = true;
      this.whole = true;
      this.#schedule();
    }, SETTLE);
  }

  // Redraw the layers in the next frame, in a box of film pixels or everywhere.
  relayer(box = null) {
    if (!this.film) return;
    if (!box) this.dirty = { x0: 0, y0: 0, x1: this.film.width, y1: this.film.height };
    else if (!this.dirty) this.dirty = { ...box };
    else {
      this.dirty.x0 = Math.min(this.dirty.x0, box.x0);
      this.dirty.y0 = Math.min(this.dirty.y0, box.y0);
      this.dirty.x1 = Math.max(this.dirty.x1, box.x1);
      this.dirty.y1 = Math.max(this.dirty.y1, box.y1);
    }
    this.#schedule();
  }

  #schedule() {
    if (this.pending === null) this.pending = requestAnimationFrame(() => this.draw());
  }

  // Draw immediately instead of in the next frame; returns ms spent.
  draw() {
    cancelAnimationFrame(this.pending);
    this.pending = null;
    const started = performance.now();
    if (this.film && this.colours) {
      const { width, height } = this.canvas;
      const screen = { x0: 0, y0: 0, x1: width, y1: height };
      if (this.whole) {
        this.colours.fill(0);
        this.#drawGrey();
        this.#drawLayers(screen);
        this.context.putImageData(this.image, 0, 0);
      } else if (this.dirty) {
        const box = this.#onScreen(this.dirty);
        if (box.x1 > box.x0 && box.y1 > box.y0) {
          this.#drawLayers(box);
          const size = [box.x1 - box.x0, box.y1 - box.y0];
          this.context.putImageData(this.image, 0, 0, box.x0, box.y0, ...size);
        }
      }
    }
    this.whole = this.smooth = false;
    this.dirty = null;
    this.onchange();
    return performance.now() - started;
  }

  // The part of the screen that a box of film pixels covers, with room for outlines.
  #onScreen(box) {
    const [x0, y0] = this.toScreen(box.x0, box.y0);
    const [x1, y1] = this.toScreen(box.x1, box.y1);
    const room = this.#thickness() + 1;
    return {
      x0: Math.max(0, Math.floor(x0) - room),
      y0: Math.max(0, Math.floor(y0) - room),
      x1: Math.min(this.canvas.width, Math.ceil(x1) + room),
      y1: Math.min(this.canvas.height, Math.ceil(y1) + room),
    };
  }

  #thickness() {
    return Math.max(1, Math.round(1.3 * this.ratio));
  }

  // The film pixel under each screen column (or row); -1 outside the film.
  #lookup(count, start, size) {
    const found = new Int32Array(count);
    for (let i = 0; i < count; i++) {
      const at = Math.floor((i + 0.5 - start) / this.scale);
      found[i] = at >= 0 && at < size ? at : -1;
    }
    return found;
  }

  #drawGrey() {
    const table = greyTable(this.window);
    const { width, height } = this.canvas;
    const depth = Math.floor(Math.log2(Math.max(1, 1 / this.scale)));
    const level = this.levels[Math.min(depth, this.levels.length - 1)];
    const scale = this.scale * (this.film.width / level.width);
    const tall = this.scale * (this.film.height / level.height);
    const mix = this.smooth && this.scale < 3 * this.ratio;
    const columns = sampling(width, this.left, scale, level.width, mix);
    const rows = sampling(height, this.top, tall, level.height, mix);
    const { pixels } = level;
    const { grey } = this;
    for (let y = 0; y < height; y++) {
      if (rows.first[y] < 0) continue;
      const upper = rows.first[y] * level.width;
      const lower = rows.second[y] * level.width;
      const down = rows.share[y];
      for (let x = 0, i = y * width; x < width; x++, i++) {
        const a = columns.first[x];
        if (a < 0) continue;
        if (mix) {
          const b = columns.second[x];
          const right = columns.share[x];
          const above = pixels[upper + a] + (pixels[upper + b] - pixels[upper + a]) * right;
          const below = pixels[lower + a] + (pixels[lower + b] - pixels[lower + a]) * right;
          grey[i] = table[(above + (below - above) * down) | 0];
        } else grey[i] = table[pixels[upper + a]];
      }
    }
  }

  #drawLayers(box) {
    const { width } = this.canvas;
    const t = this.#thickness();
    const wide = {
      x0: Math.max(0, box.x0 - t),
      y0: Math.max(0, box.y0 - t),
      x1: Math.min(width, box.x1 + t),
      y1: Math.min(this.canvas.height, box.y1 + t),
    };
    const columns = this.#lookup(width, this.left, this.film.width);
    const rows = this.#lookup(this.canvas.height, this.top, this.film.height);
    const compare = this.show.compare && this.reference;
    this.#fillLayer(wide, columns, rows, compare);
    const probability = this.show.probability && this.probability;
    const heat = probability ? heatTable() : null;
    const table = layerTable(this.show, compare);
    const { colours, grey, layer } = this;
    const outline = this.show.outline;
    const last = this.canvas.height * width;
    for (let y = box.y0; y < box.y1; y++) {
      const row = rows[y] * this.film.width;
      if (row < 0) continue;
      for (let x = box.x0, i = y * width + box.x0; x < box.x1; x++, i++) {
        if (columns[x] < 0) continue;
        let kind = layer[i];
        if (kind && outline) {
          const edge =
            (x >= t && layer[i - t] !== kind) ||
            (x + t < width && layer[i + t] !== kind) ||
            (i >= t * width && layer[i - t * width] !== kind) ||
            (i + t * width < last && layer[i + t * width] !== kind);
          if (edge) kind |= EDGE;
        }
        if (heat && !(kind & EDGE)) colours[i] = heat[((grey[i] >> 2) << 8) | probability[row + columns[x]]];
        else colours[i] = table[(kind << 8) | grey[i]];
      }
    }
  }

  // For each screen pixel: 0 nothing, 1 my mask, 2 theirs, 3 both.
  #fillLayer(box, columns, rows, compare) {
    const { width } = this.canvas;
    const { values } = this.mask;
    const { layer, probability, level } = this;
    if (!this.show.mask && !compare) {
      layer.fill(0);
      return;
    }
    for (let y = box.y0; y < box.y1; y++) {
      const row = rows[y] * this.film.width;
      for (let x = box.x0, i = y * width + box.x0; x < box.x1; x++, i++) {
        if (row < 0 || columns[x] < 0) {
          layer[i] = 0;
          continue;
        }
        const at = row + columns[x];
        const value = values[at];
        const untouched = level !== null && !(value & TOUCHED);
        const bone = untouched ? (probability[at] >= level ? 1 : 0) : value & BONE;
        layer[i] = compare ? bone | (this.reference[at] << 1) : bone;
      }
    }
  }
}
