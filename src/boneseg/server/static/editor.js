// The open film: its mask, the editing actions, saving and drafts.

import * as api from "./api.js";
import { BONE, Mask } from "./mask.js";
import { grown, shrunk, smoothed } from "./morphology.js";
import { boxOf, flood, packBits, smallRegions, unpackBits } from "./raster.js";

// Where the spacing applies: see `radiograph.SpacingKind`.
export const SPACINGS = { user: "as calibrated", calibrated: "in the patient", detector: "on the detector", uncalibrated: "uncalibrated" };
const DRAFT_AFTER = 2000; // ms after the last change
const FAINTEST = 26; // probability (of 256) from which a click finds a bone below the threshold,
const DISTINCT = 0.6; // down to this share of the probability at the click
const OPEN_SEA = 0.25; // largest share of the film that a fill touching the border, or a faint bone, may cover

export class Editor {
  constructor(view, notify) {
    this.view = view;
    this.notify = notify; // (words, kind)
    this.row = null; // the film's row from the server
    this.mask = null;
    this.onchange = () => {};
    this.settle = () => {}; // finish the current stroke before another action
    this.ongrey = () => {}; // window and level only: the mask's area is unchanged
    this.savedAt = 0; // the saved version of the mask
    this.keptAt = 0; // the version on the server, saved or draft
    this.turn = Promise.resolve();
    this.writing = 0; // write requests queued or in flight
  }

  get dirty() {
    return Boolean(this.mask) && this.mask.version !== this.savedAt;
  }

  get kept() {
    return !this.mask || this.mask.version === this.keptAt;
  }

  // Load a film's data, with its draft if wanted; the film shown does not change. Null where another film
  // was requested meanwhile.
  async load(id, withDraft = true) {
    this.loading?.abort();
    const { signal } = (this.loading = new AbortController());
    const row = await api.film(id, signal);
    const saved = row.revision === "none" ? null : api.savedMask(id, signal).catch((error) => error);
    const draft = row.draft && withDraft ? api.draft(id, signal).catch((error) => error) : null;
    const [pixels, probability, suggested] = await Promise.all([
      api.pixels(id, signal),
      api.probability(id, signal),
      api.suggestion(id, signal),
    ]);
    const drawn = await saved;
    const kept = await draft;
    return signal.aborted ? null : { row, pixels, probability, suggested, drawn, kept };
  }

  show({ row, pixels, probability, suggested, drawn, kept }) {
    clearTimeout(this.drafting);
    const size = row.width * row.height;
    const again = this.row?.id === row.id && this.mask.values.length === size;
    this.row = row;
    this.probability = probability;
    this.suggestion = unpackBits(suggested, size);
    this.level = this.setLevel = Math.ceil(row.threshold * 256);
    this.saved = drawn instanceof Uint8Array ? unpackBits(drawn, size) : null;
    this.mask = new Mask(row.width, row.height);
    const values = this.saved ?? this.suggestion;
    for (let i = 0; i < size; i++) this.mask.values[i] = values[i] | (values[i] !== this.suggestion[i] ? 2 : 0);
    this.savedAt = this.keptAt = 0;
    if (!again) this.view.window = { centre: 0.5, width: 1, invert: this.view.window.invert };
    this.view.open({ width: row.width, height: row.height, pixels }, this.mask, probability, again);
    this.chooseReference("suggestion");
    if (drawn instanceof Error) this.notify(`${drawn.message}; the model's suggestion is shown instead`, "error");
    if (kept) this.#restore(kept, size);
    this.onchange();
  }

  // A draft that is based on another mask keeps the revision of that one, so that saving shows both.
  #restore({ bits, basedOn, filmChanged, message, status }, size) {
    if (!bits) return status === 404 || this.notify(message, "error"); // 404: saved or dropped meanwhile
    this.replaceBy(unpackBits(bits, size), "draft", false);
    this.keptAt = this.mask.version;
    const changed = filmChanged ? "The film's file has changed since they were drawn: check them. " : "";
    this.notify(`Your unsaved changes were restored. ${changed}Undo returns to the saved mask.`, changed ? "error" : "info");
    if (basedOn) this.row = { ...this.row, revision: basedOn };
  }

  close() {
    this.loading?.abort();
    clearTimeout(this.drafting);
    this.row = this.mask = null;
    this.view.close();
    this.onchange();
  }

  // End an action, notify, and schedule a draft.
  finish(name, levels = null) {
    const box = this.mask.end(name, levels);
    if (!box) return false;
    this.view.relayer(box);
    this.changed();
    return true;
  }

  changed() {
    clearTimeout(this.drafting);
    this.drafting = setTimeout(() => this.keepDraft(), DRAFT_AFTER);
    this.onchange();
  }

  // Store unsaved changes on the server as a draft. False on failure.
  async keepDraft() {
    clearTimeout(this.drafting);
    const { mask } = this;
    try {
      await this.#inTurn(async () => {
        if (this.kept || this.mask !== mask) return;
        const at = mask.version;
        if (this.dirty) await api.keepDraft(this.row.id, packBits(mask.values), this.row.revision);
        else await api.dropDraft(this.row.id);
        if (this.mask === mask) this.keptAt = at;
      });
      return true;
    } catch (error) {
      this.notify(`The draft was not saved: ${error.message}`, "error");
      return false;
    }
  }

  // The server drops a draft when the film is saved, from any tab: store it again.
  keepDraftAgain() {
    this.keptAt = null;
    return this.keepDraft();
  }

  // Serialise write requests: each depends on the state left by the one before.
  #inTurn(what) {
    this.writing++;
    const turn = this.turn.then(what).finally(() => this.writing--);
    this.turn = turn.catch(() => {});
    return turn;
  }

  // True where the mask has changed.
  draw(spans, bone, name) {
    if (!spans.length) return false;
    this.settle();
    this.mask.begin();
    this.mask.set(spans, bone);
    return this.finish(name);
  }

  // Undo the last action without a trace: it is about to be drawn differently.
  takeBackLast() {
    const done = this.mask.undo();
    this.mask.undone.pop();
    if (done) this.view.relayer(done.box);
    this.changed();
  }

  // Revert a stroke that turned out to be a pinch.
  takeBack() {
    const { undone } = this.mask;
    const box = this.mask.end("");
    if (!box) return;
    this.mask.undo();
    this.mask.undone = undone;
    this.view.relayer(box);
  }

  get canUndo() {
    return Boolean(this.mask?.done.length);
  }

  get canRedo() {
    return Boolean(this.mask?.undone.length);
  }

  undo() {
    this.settle();
    this.#step(this.mask?.undo(), 0, "Undone", "Nothing to undo");
  }

  redo() {
    this.settle();
    this.#step(this.mask?.redo(), 1, "Redone", "Nothing to redo");
  }

  // at: the threshold to return to, of the action's before and after
  #step(done, at, word, nothing) {
    if (done) this.view.relayer(done.box);
    if (done?.levels) this.level = this.setLevel = done.levels[at];
    this.notify(done ? `${word}: ${done.name}` : nothing, "quiet");
    if (done) this.changed();
  }

  fillAt(x, y, remove) {
    const { width, height, values } = this.mask;
    const [px, py] = [Math.floor(x), Math.floor(y)];
    const wanted = remove ? BONE : 0;
    const spans = flood(width, height, px, py, (i) => (values[i] & BONE) === wanted);
    if (!spans.length) {
      this.notify(remove ? "There is no bone to remove there" : "That is already bone; click a hole", "quiet");
      return;
    }
    const box = boxOf(spans);
    let area = 0;
    for (let i = 0; i < spans.length; i += 3) area += spans[i + 2] - spans[i + 1];
    const open = box.x0 === 0 || box.y0 === 0 || box.x1 === width || box.y1 === height;
    if (!remove && open && area > OPEN_SEA * width * height) {
      this.notify("That region reaches the film's edge; close the outline with the brush first", "error");
      return;
    }
    this.draw(spans, !remove, remove ? "remove region" : "fill");
  }

  // Remove the bone that is drawn at a place, or add the one that the model suggests there. named: the bone with
  // a name that is shown there, {name, spans}, if there is one; else a bone is a connected region.
  boneAt(x, y, remove, named) {
    const { width, height, values } = this.mask;
    const [px, py] = [Math.floor(x), Math.floor(y)];
    if (named) {
      const drawn = Boolean(values[py * width + px] & BONE);
      if (drawn || !remove) return this.draw(named.spans, !drawn, `${drawn ? "remove" : "add"} ${named.name}`);
    }
    const isBone = (i) => (values[i] & BONE) === BONE;
    const drawn = flood(width, height, px, py, isBone);
    if (drawn.length) return this.draw(drawn, false, "remove bone");
    if (remove) return this.notify("There is no bone to remove there", "quiet");
    const found = this.#suggestedAt(px, py);
    if (!found) return this.notify("The model sees no bone there; draw it", "quiet");
    return this.draw(found, true, "add bone");
  }

  // The region around a pixel that the model suggests, also below the threshold where it is distinct; null where
  // there is none.
  #suggestedAt(x, y) {
    const { probability, level } = this;
    const { width, height } = this.mask;
    const here = probability[y * width + x];
    if (!(here >= FAINTEST)) return null;
    const least = here >= level ? level : Math.ceil(here * DISTINCT);
    const spans = flood(width, height, x, y, (i) => probability[i] >= least);
    let area = 0;
    for (let i = 0; i < spans.length; i += 3) area += spans[i + 2] - spans[i + 1];
    return here >= level || area < OPEN_SEA * width * height ? spans : null;
  }

  grow(radius) {
    const { width, height, values } = this.mask;
    this.draw(grown(values, width, height, radius), true, "grow");
  }

  shrink(radius) {
    const { width, height, values } = this.mask;
    this.draw(shrunk(values, width, height, radius), false, "shrink");
  }

  smooth(radius) {
    const { mask } = this;
    this.settle();
    const { added, removed } = smoothed(mask.values, mask.width, mask.height, radius);
    mask.begin();
    mask.set(added, true);
    mask.set(removed, false);
    if (!this.finish("smooth")) this.notify("The mask is smooth already", "quiet");
  }

  removeIslands(most) {
    const { values } = this.mask;
    const { spans, count } = smallRegions(this.mask.width, this.mask.height, (i) => (values[i] & BONE) === 1, most);
    this.draw(spans, false, "remove islands");
    this.notify(count ? `Removed ${pieces(count, "island")} under ${most} px` : `No island under ${most} px`, "quiet");
  }

  fillHoles(most) {
    const { values } = this.mask;
    const { spans, count } = smallRegions(this.mask.width, this.mask.height, (i) => (values[i] & BONE) === 0, most, true);
    this.draw(spans, true, "fill holes");
    this.notify(count ? `Filled ${pieces(count, "hole")} under ${most} px` : `No hole under ${most} px`, "quiet");
  }

  // Preview a threshold while the slider moves.
  tryThreshold(level) {
    this.level = level;
    this.view.level = level;
    this.view.relayer();
  }

  setThreshold(level) {
    this.settle();
    this.level = level;
    this.view.level = null;
    this.mask.begin();
    this.mask.threshold(this.probability, level);
    this.#finishLevel("threshold");
  }

  // End an action that set the threshold. setLevel: the threshold after the last such action.
  #finishLevel(name) {
    if (this.finish(name, [this.setLevel, this.level])) this.setLevel = this.level;
    else this.view.relayer();
    this.onchange();
  }

  replaceBy(values, name, touched = true) {
    this.settle();
    this.mask.begin();
    this.mask.replace(values, touched ? this.suggestion : null);
    if (!this.finish(name)) this.view.relayer();
  }

  startOver() {
    this.settle();
    this.level = Math.ceil(this.row.threshold * 256);
    this.mask.begin();
    this.mask.replace(this.suggestion, this.suggestion);
    this.#finishLevel("start over");
  }

  dragWindow(dx, dy) {
    const window = this.view.window;
    window.width = Math.min(4, Math.max(0.004, window.width * Math.exp(dx * 0.006)));
    window.centre = Math.min(1.5, Math.max(-0.5, window.centre - dy * 0.0025 * window.width));
    this.view.redraw();
    this.ongrey();
  }

  // Set the reference mask: "suggestion", "saved", or the values of another version.
  chooseReference(which) {
    this.referenceName = typeof which === "string" ? which : "version";
    this.view.reference = which === "suggestion" ? this.suggestion : which === "saved" ? this.saved : which;
    this.view.relayer();
  }

  // Dice of the mask against the reference.
  dice() {
    const reference = this.view.reference;
    if (!reference) return null;
    let [common, total] = [0, 0];
    const { values } = this.mask;
    for (let i = 0; i < values.length; i++) {
      const mine = values[i] & BONE;
      common += mine & reference[i];
      total += mine + reference[i];
    }
    return total ? (2 * common) / total : 1;
  }

  // Save; `conflict` decides where the mask was saved elsewhere in the meantime.
  async save(state, by, conflict) {
    clearTimeout(this.drafting);
    try {
      const { row, mask } = this;
      return await this.#inTurn(() => this.#send(row, mask, state, by));
    } catch (error) {
      if (error.status === 409 && conflict) return conflict(error, state, by);
      this.keepDraft();
      throw error;
    }
  }

  async #send(asked, mask, state, by) {
    const { id, revision } = this.mask === mask ? this.row : asked;
    const at = mask.version;
    const values = mask.values.map((value) => value & BONE);
    const saved = await api.saveMask(id, packBits(values), state, revision, by);
    if (this.mask === mask) {
      this.row = saved;
      this.saved = values;
      if (this.referenceName === "saved") this.chooseReference("saved");
      this.savedAt = this.keptAt = at;
      this.onchange();
    }
    return saved;
  }

  // Load the mask saved elsewhere as the reference, and its revision so that it can be overwritten.
  async seeTheirs() {
    const row = await api.film(this.row.id);
    const none = row.revision === "none"; // they have removed it
    this.saved = none ? null : unpackBits(await api.savedMask(row.id), this.mask.values.length);
    this.row = row;
    this.chooseReference("saved");
    return this.saved ?? this.suggestion;
  }
}

const pieces = (count, noun) => (count === 1 ? `1 ${noun}` : `${count} ${noun}s`);
