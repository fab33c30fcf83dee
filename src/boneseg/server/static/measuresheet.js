// The measures of one film, on the page and on the server.

import * as api from "./api.js";

export class Sheet {
  // now: a copy as of the last change; done, undone: such copies to return to. loaded: whether the measures that
  // the server has are among them. stored, revision: those, as last read or written. sent: what may have become
  // the stored ones, where the answer was lost.
  constructor(film) {
    Object.assign(this, { film, all: [], now: [], done: [], undone: [], stored: [], sent: [], revision: null, loaded: film === null });
  }

  // Read the stored measures, once; they go before those that were drawn meanwhile. Returns the (height, width) of
  // the film that they were drawn on, where it is known.
  async load() {
    if (this.loaded) return null;
    const { measures, revision, shape } = await api.measures(this.film);
    if (this.loaded) return null; // by another call meanwhile
    this.#merge(measures, revision);
    this.loaded = true;
    return shape;
  }

  // Write the measures. Returns whether others were stored meanwhile, which are among them now.
  async save() {
    try {
      await this.#write();
      return false;
    } catch (error) {
      if (error.status !== 409) throw error;
    }
    const { measures, revision } = await api.measures(this.film);
    this.#merge(measures, revision);
    await this.#write();
    return true;
  }

  async #write() {
    this.sent.push(...copyOf(this.all));
    const { measures, revision } = await api.saveMeasures(this.film, this.all, this.revision);
    Object.assign(this, { stored: measures, revision, sent: [] });
  }

  // Add the stored measures, but for those that were removed or changed here since they were read.
  #merge(stored, revision) {
    const [before, theirs] = [[...this.stored, ...this.sent], stored].map((some) => new Set(some.map(keyOf)));
    const known = new Set(this.stored.map(keyOf));
    const mine = new Map(this.all.map((one) => [keyOf(one), one]));
    const own = (one) => { // the object that is here already, once: it may be dragged
      const found = mine.get(keyOf(one)) ?? one;
      mine.set(keyOf(one), undefined);
      return found;
    };
    this.all = [
      ...stored.filter((one) => mine.has(keyOf(one)) || !before.has(keyOf(one))).map(own),
      ...this.all.filter((one) => !theirs.has(keyOf(one)) && !known.has(keyOf(one))),
    ];
    Object.assign(this, { stored, revision, now: copyOf(this.all) });
    this.done = this.undone = []; // copies from before lack what was stored
  }
}

export const copyOf = (measures) => structuredClone(measures);

const keyOf = ({ kind, points, name, suggested, medial }) =>
  JSON.stringify([kind, points, name ?? "", suggested ?? false, medial ?? null]);
