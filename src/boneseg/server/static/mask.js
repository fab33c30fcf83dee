// The mask of one film, with undo and redo.
//
// A byte per pixel: bit 0 is bone, bit 1 marks pixels set by the user. The threshold changes only pixels
// without that mark, so corrections stay. Undo keeps the previous contents of the tiles that an action
// changes, so an action costs what it touches, not the size of the film.

export const BONE = 1;
export const TOUCHED = 2;
const TILE = 128;
const BUDGET = 192 * 2 ** 20; // bytes of tiles kept

export class Mask {
  constructor(width, height, values) {
    this.width = width;
    this.height = height;
    this.values = values ?? new Uint8Array(width * height);
    this.across = Math.ceil(width / TILE);
    this.undone = [];
    this.done = [];
    this.before = null; // tile index to its previous pixels, during an action
    this.version = 0; // of the pixels; undo restores the number, too
    this.versions = 0; // assigned so far
  }

  // One action lasts from begin() to end(), which returns the changed box, or null. levels: the threshold before
  // and after the action, where it set one.
  begin() {
    this.before = new Map();
  }

  end(name, levels = null) {
    const tiles = new Map();
    for (const [tile, pixels] of this.before) {
      if (this.#differs(tile, pixels)) tiles.set(tile, shrink(pixels));
    }
    this.before = null;
    if (!tiles.size) return null;
    this.undone = [];
    this.done.push({ name, tiles, version: this.version, levels });
    this.#forget();
    this.version = ++this.versions;
    return this.#boxOf(tiles);
  }

  set(spans, bone) {
    const value = bone ? BONE | TOUCHED : TOUCHED;
    for (let i = 0; i < spans.length; i += 3) {
      const y = spans[i];
      const from = Math.max(0, spans[i + 1]);
      const to = Math.min(this.width, spans[i + 2]);
      if (y < 0 || y >= this.height || to <= from) continue;
      this.#remember(y, from, to);
      this.values.fill(value, y * this.width + from, y * this.width + to);
    }
  }

  // Replace the whole mask (a byte per pixel, 0 or 1).
  replace(values, touched) {
    this.#rememberAll();
    for (let i = 0; i < values.length; i++)
      this.values[i] = values[i] | (touched && touched[i] !== values[i] ? TOUCHED : 0);
  }

  // Apply a threshold (of 256) to the pixels not set by the user.
  threshold(probability, level) {
    this.#rememberAll();
    const values = this.values;
    for (let i = 0; i < values.length; i++)
      if (!(values[i] & TOUCHED)) values[i] = probability[i] >= level ? BONE : 0;
  }

  undo() {
    return this.#swap(this.done, this.undone);
  }

  redo() {
    return this.#swap(this.undone, this.done);
  }

  area() {
    let area = 0;
    for (let i = 0; i < this.values.length; i++) area += this.values[i] & BONE;
    return area;
  }

  #swap(from, to) {
    const action = from.pop();
    if (!action) return null;
    const now = new Map();
    for (const [tile, pixels] of action.tiles) {
      now.set(tile, shrink(this.#tile(tile)));
      this.#write(tile, pixels);
    }
    const { name, levels } = action;
    to.push({ name, tiles: now, version: this.version, levels });
    this.version = action.version;
    return { name, box: this.#boxOf(now), levels };
  }

  #remember(y, from, to) {
    const row = Math.floor(y / TILE) * this.across;
    for (let column = Math.floor(from / TILE); column * TILE < to; column++) {
      if (!this.before.has(row + column)) this.before.set(row + column, this.#tile(row + column));
    }
  }

  #rememberAll() {
    for (let y = 0; y < this.height; y += TILE) this.#remember(y, 0, this.width);
  }

  #place(tile) {
    const x0 = (tile % this.across) * TILE;
    const y0 = Math.floor(tile / this.across) * TILE;
    return { x0, y0, x1: Math.min(x0 + TILE, this.width), y1: Math.min(y0 + TILE, this.height) };
  }

  #tile(tile) {
    const { x0, y0, x1, y1 } = this.#place(tile);
    const pixels = new Uint8Array((x1 - x0) * (y1 - y0));
    for (let y = y0; y < y1; y++) {
      const base = y * this.width;
      pixels.set(this.values.subarray(base + x0, base + x1), (y - y0) * (x1 - x0));
    }
    return pixels;
  }

  #write(tile, pixels) {
    const { x0, y0, x1, y1 } = this.#place(tile);
    for (let y = y0; y < y1; y++) {
      const base = y * this.width;
      if (typeof pixels === "number") this.values.fill(pixels, base + x0, base + x1);
      else {
        const from = (y - y0) * (x1 - x0);
        this.values.set(pixels.subarray(from, from + x1 - x0), base + x0);
      }
    }
  }

  #differs(tile, pixels) {
    const { x0, y0, x1, y1 } = this.#place(tile);
    for (let y = y0, i = 0; y < y1; y++)
      for (let x = x0; x < x1; x++, i++)
        if (this.values[y * this.width + x] !== pixels[i]) return true;
    return false;
  }

  #boxOf(tiles) {
    const box = { x0: Infinity, y0: Infinity, x1: 0, y1: 0 };
    for (const tile of tiles.keys()) {
      const place = this.#place(tile);
      box.x0 = Math.min(box.x0, place.x0);
      box.y0 = Math.min(box.y0, place.y0);
      box.x1 = Math.max(box.x1, place.x1);
      box.y1 = Math.max(box.y1, place.y1);
    }
    return box;
  }

  // Drop the oldest actions over the memory budget; the last one always stays.
  #forget() {
    let spent = 0;
    for (let i = this.done.length - 1; i >= 0; i--) {
      for (const pixels of this.done[i].tiles.values()) spent += pixels.length ?? 8;
      if (spent > BUDGET && i < this.done.length - 1) {
        this.done.splice(0, i + 1);
        return;
      }
    }
  }
}

// A uniform tile is stored as its value.
function shrink(pixels) {
  return pixels.every((value) => value === pixels[0]) ? pixels[0] : pixels;
}
