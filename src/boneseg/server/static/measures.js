// Measures on the film: lengths, angles, Cobb angles, leg alignments, and its calibration.

import * as api from "./api.js";
import { keepFile } from "./downloads.js";
import { KINDS, valuesOf } from "./geometry.js";
import { label, path, stroke } from "./marks.js";
import { itemOf } from "./measurelist.js";
import { copyOf, Sheet } from "./measuresheet.js";

const LINES = { length: [[0, 1]], angle: [[0, 1, 2]], cobb: [[0, 1], [2, 3]], alignment: [[0, 1, 2]], calibrate: [[0, 1]] };
const COLOUR = "#7fe0ff";
const CHOSEN = "#ffe27a";
const NEAR = { mouse: 9, pen: 12, touch: 24 }; // screen px
const SAVE_AFTER = 400; // ms

export class Measures {
  constructor(editor, view, notify, element) {
    Object.assign(this, { editor, view, notify, element });
    this.sheet = new Sheet(null);
    this.unsaved = new Set(); // sheets, also of films that were open before
    this.kind = "length";
    this.drawing = null; // {kind, points} of a measure that lacks points
    this.held = null; // {measure, at} of a point that is dragged
    this.turn = Promise.resolve(); // the last request to save
    this.sending = null; // the sheet that is being saved
    this.following = null; // the last request for a medial side: the next waits for it
    this.onchange = () => {};
    this.oncalibrated = () => {}; // (row)
    this.#build();
  }

  get film() {
    return this.sheet.film;
  }

  get all() {
    return this.sheet.all;
  }

  set all(measures) {
    this.sheet.all = measures;
  }

  // Whether every change is on the server.
  get kept() {
    return !this.unsaved.size && !this.sending;
  }

  // Load the measures of the film that was opened, or of none.
  async open(row) {
    const saved = this.save();
    const film = row?.id ?? null;
    const sheets = [...this.unsaved, this.sending]; // at once: what is drawn from now on is of this film
    this.sheet = sheets.find((sheet) => sheet?.film === film) ?? new Sheet(film);
    this.drawing = this.held = null;
    this.show();
    if (!row) return;
    await saved;
    try {
      await this.#load(this.sheet);
    } catch (error) {
      this.notify(error.message, "error");
    }
    this.show();
  }

  async #load(sheet) {
    const shape = await sheet.load();
    const { row } = this.editor;
    if (shape && row?.id === sheet.film && (shape[0] !== row.height || shape[1] !== row.width))
      this.notify(`The measures were drawn on ${shape[0]} × ${shape[1]} pixels, and the film has ${row.height} × ${row.width} now: check them`, "error");
  }

  // -- drawing with the pointer ------------------------------------------------------------------

  press(there, pointer = "mouse") {
    const place = this.#onFilm(there);
    const draws = this.drawing || this.kind === "calibrate"; // often along a length that is there already
    const held = draws ? null : this.#near(place, pointer);
    if (held) {
      this.held = held;
      return;
    }
    this.drawing ??= { kind: this.kind, points: [] };
    this.drawing.points.push(place);
    this.from = place;
  }

  move(place) {
    if (!this.held) return;
    const { measure, at } = this.held;
    measure.points[at] = this.#onFilm(place);
    measure.suggested = false;
    this.show();
  }

  // End of a press: a drag gives two points, a click one.
  release(there) {
    const place = there && this.#onFilm(there);
    if (this.held) {
      const { measure } = this.held;
      const before = this.sheet.now[this.all.indexOf(measure)]?.points;
      this.held = null;
      this.changed();
      this.#followLeg(measure, before);
      return;
    }
    const { drawing } = this;
    if (!drawing) return;
    const needed = KINDS[drawing.kind].points;
    const dragged = place && this.#distance(place, this.from) > 6;
    if (dragged && drawing.points.length < needed) drawing.points.push(place);
    if (drawing.points.length < needed) return;
    this.drawing = null;
    if (drawing.kind === "calibrate") this.#askSize(drawing.points);
    else this.add({ kind: drawing.kind, points: drawing.points, name: "", suggested: false, medial: null });
  }

  cancel() {
    this.drawing = this.held = null;
  }

  // The press turned out to be a pinch.
  giveUp() {
    if (this.held) this.held = null;
    else this.dropPoint();
  }

  dropPoint() {
    this.drawing?.points.pop();
    if (!this.drawing?.points.length) this.drawing = null;
  }

  // The nearest place on the film: a structured report cannot hold a point beside it.
  #onFilm([x, y]) {
    const { width, height } = this.view.film;
    return [Math.min(width, Math.max(0, x)), Math.min(height, Math.max(0, y))];
  }

  #distance(a, b) {
    return (Math.hypot(a[0] - b[0], a[1] - b[1]) * this.view.scale) / this.view.ratio;
  }

  #near(place, pointer) {
    const found = this.all.flatMap((measure) => measure.points.map((point, at) => ({ measure, at, far: this.#distance(place, point) })));
    found.sort((a, b) => a.far - b.far);
    return found.length && found[0].far < (NEAR[pointer] ?? NEAR.mouse) ? found[0] : null;
  }

  // -- changing ------------------------------------------------------------------------------------

  add(measure) {
    this.all.push(measure);
    this.changed();
    this.#followLeg(measure, null);
  }

  // The medial side of the leg that an alignment is on now, without which varus cannot be told from valgus. One
  // that a person has chosen, against what the film shows, stays. before: the points until now, null if it is new.
  #followLeg(measure, before) {
    if (measure.kind !== "alignment") return;
    const { film } = this;
    const side = async (points) => points && (await api.medialSide(film, points));
    const sides = Promise.all([side(before), side(measure.points)]);
    const follow = ([was, now]) => {
      if (measure.medial !== was || was === now || !this.all.includes(measure)) return;
      measure.medial = now;
      this.#settle();
    };
    const inOrder = Promise.allSettled([this.following, sides]).then(() => sides.then(follow));
    this.following = inOrder.catch((error) => this.notify(error.message, "error"));
  }

  remove(measure) {
    this.all = this.all.filter((one) => one !== measure);
    this.changed();
  }

  // After a change of `all`: keep the state before it for undo, and save.
  changed() {
    const { sheet } = this;
    sheet.done = [...sheet.done, sheet.now];
    sheet.undone = [];
    this.#settle();
  }

  get canUndo() {
    return Boolean(this.sheet.done.length);
  }

  get canRedo() {
    return Boolean(this.sheet.undone.length);
  }

  undo() {
    this.#step("done", "undone", "Undone: measure");
  }

  redo() {
    this.#step("undone", "done", "Redone: measure");
  }

  #step(from, to, words) {
    const { sheet } = this;
    this.cancel();
    if (!sheet[from].length) return this.notify(from === "done" ? "No measure to undo" : "No measure to redo", "quiet");
    sheet[to] = [...sheet[to], sheet.now];
    sheet.all = sheet[from].at(-1);
    sheet[from] = sheet[from].slice(0, -1);
    this.#settle();
    this.notify(words, "quiet");
  }

  #settle() {
    this.sheet.now = copyOf(this.all);
    clearTimeout(this.saving);
    this.unsaved.add(this.sheet);
    this.saving = setTimeout(() => this.save(), SAVE_AFTER);
    this.show();
  }

  // One after the other: each depends on the revision that the one before has left.
  save() {
    clearTimeout(this.saving);
    this.turn = this.turn.then(() => this.#saveAll());
    return this.turn;
  }

  async #saveAll() {
    for (const sheet of [...this.unsaved]) {
      this.sending = sheet;
      this.unsaved.delete(sheet); // a change meanwhile adds it again
      try {
        await this.#load(sheet); // never over measures that were not loaded
        if (!(await sheet.save())) continue;
        if (sheet === this.sheet) this.show();
        this.notify("The measures were also changed elsewhere: all of them are shown now", "info");
      } catch (error) {
        if (error.status !== 404) this.unsaved.add(sheet); // 404: the film was removed
        this.notify(`The measures were not saved: ${error.message}`, "error");
      }
    }
    this.sending = null;
  }

  async suggest() {
    const id = this.film;
    const { measures } = await api.alignment(id);
    if (this.film !== id) return;
    if (!measures.length) {
      this.notify("The mask does not show a whole leg from hip to ankle; click the three centres instead", "info");
      this.choose("alignment");
      return;
    }
    this.all = [...this.all.filter((one) => !one.suggested), ...measures];
    this.changed();
    this.onchosen?.(); // the tool that drags them
    this.notify("Check the centres of hip, knee and ankle; drag them where they are wrong", "info");
  }

  #askSize(points) {
    const dialog = this.dialog;
    dialog.querySelector("[name=size]").value = "";
    dialog.returnValue = "";
    dialog.showModal();
    dialog.addEventListener("close", () => dialog.returnValue === "set" && this.#calibrate(points), { once: true });
  }

  async #calibrate([[x0, y0], [x1, y1]]) {
    const size = Number(this.dialog.querySelector("[name=size]").value);
    const what = this.dialog.querySelector("[name=what]").value.trim() || "known size";
    const px = Math.hypot(x1 - x0, (y1 - y0) * this.editor.row.aspect);
    if (!(size > 0) || !(px > 0)) return;
    await this.#send(() => api.calibrate(this.film, size / px, `${what} of ${size} mm over ${px.toFixed(1)} px`));
  }

  async #send(ask) {
    try {
      const row = await ask();
      this.oncalibrated(row);
      this.show();
    } catch (error) {
      this.notify(error.message, "error");
    }
  }

  async download(ask) {
    await this.save();
    try {
      keepFile(await ask());
    } catch (error) {
      this.notify(error.message, "error");
    }
  }

  // -- the film --------------------------------------------------------------------------------------

  // cursor: film px under the pointer, for the line being drawn
  draw(context, view, cursor) {
    for (const measure of this.all) this.#drawOne(context, view, measure, measure.points, measure === this.held?.measure);
    if (!this.drawing) return;
    const { kind, points } = this.drawing;
    this.#drawOne(context, view, { kind, name: "" }, cursor && points.length < KINDS[kind].points ? [...points, this.#onFilm(cursor)] : points, true);
  }

  #drawOne(context, view, measure, points, chosen) {
    const colour = chosen ? CHOSEN : COLOUR;
    const lines = LINES[measure.kind].map((line) => line.filter((at) => at < points.length).map((at) => points[at]));
    for (const line of lines)
      if (line.length > 1) stroke(context, view, [[3.6, "#000b"], [1.6, colour]], () => path(context, view, line));
    if (measure.kind === "alignment" && points.length === 3) this.#axis(context, view, points);
    for (const [x, y] of points) {
      const [sx, sy] = view.toScreen(x, y);
      stroke(context, view, [[3.6, "#000b"], [1.6, colour]], () => context.arc(sx, sy, 4 * view.ratio, 0, 2 * Math.PI));
    }
    if (points.length === KINDS[measure.kind].points) label(context, view, this.#words(measure, points), points[measure.kind === "alignment" ? 0 : points.length - 1]);
  }

  // The mechanical axis, from hip to ankle, dashed.
  #axis(context, view, [hip, , ankle]) {
    context.setLineDash([6 * view.ratio, 5 * view.ratio]);
    stroke(context, view, [[1.4, "#fff"]], () => path(context, view, [hip, ankle]));
    context.setLineDash([]);
  }

  #words(measure, points) {
    const [[, first], [bend] = []] = Object.entries(valuesOf(measure.kind, points, this.editor.row?.spacing_mm, measure.medial));
    return [measure.name, first, measure.kind === "alignment" && bend].filter(Boolean).join(" ");
  }

  // -- the panel -------------------------------------------------------------------------------------

  #build() {
    this.element.innerHTML = `
      <h2>Measures</h2>
      <div class="row">
        <select data-part="kind" aria-label="Kind of measure"></select>
        <button data-part="suggest" type="button" title="Suggest hip, knee and ankle of a full-leg film from its mask">Suggest alignment</button>
      </div>
      <ol data-part="list"></ol>
      <p data-part="calibration"></p>
      <div class="row">
        <button data-part="uncalibrate" type="button" hidden>Remove calibration</button>
        <button data-part="csv" type="button">CSV</button>
        <button data-part="all" type="button" title="The measures of every film, in one table">CSV, all films</button>
        <button data-part="sr" type="button">DICOM SR</button>
      </div>`;
    this.dialog = document.createElement("dialog");
    this.dialog.id = "calibrate";
    this.dialog.setAttribute("aria-labelledby", "calibrate-title");
    this.dialog.innerHTML = `
      <form method="dialog">
        <h2 id="calibrate-title">Calibrate this film</h2>
        <p>How long is the line in reality? For a ball, draw it across the widest part.</p>
        <label class="inline">length <input name="size" type="number" min="0.1" max="2000" step="any" required autofocus> mm</label>
        <label class="stack">of <input name="what" type="text" maxlength="60" placeholder="steel ball, ruler…"></label>
        <div class="row end"><button value="set" class="primary">Calibrate</button><button value="" formnovalidate>Cancel</button></div>
      </form>`;
    document.body.append(this.dialog);
    const part = (name) => this.element.querySelector(`[data-part=${name}]`);
    for (const [kind, { name }] of Object.entries(KINDS)) part("kind").append(new Option(name, kind));
    part("kind").addEventListener("change", () => this.choose(part("kind").value));
    part("suggest").addEventListener("click", () => this.suggest().catch((error) => this.notify(error.message, "error")));
    part("csv").addEventListener("click", () => this.download(() => api.downloadMeasures(this.film, "csv")));
    part("sr").addEventListener("click", () => this.download(() => api.downloadMeasures(this.film, "dicom-sr")));
    part("all").addEventListener("click", () => this.download(api.downloadAllMeasures));
    part("uncalibrate").addEventListener("click", () => this.#send(() => api.removeCalibration(this.film)));
    this.part = part;
    this.show();
  }

  // Choose the kind that the measure tool draws.
  choose(kind) {
    this.cancel();
    this.kind = kind;
    this.part("kind").value = kind;
    this.onchosen?.();
    this.notify(`${KINDS[kind].name}: ${KINDS[kind].help}`, "quiet");
  }

  show() {
    const { row } = this.editor;
    const calibrated = row?.spacing_kind === "user";
    for (const name of ["kind", "suggest", "csv", "sr"]) this.part(name).disabled = !row;
    for (const name of ["csv", "sr", "all"]) this.part(name).hidden = !this.all.length;
    this.part("sr").hidden ||= row?.dicom === false; // a report refers to a DICOM film
    this.part("uncalibrate").hidden = !calibrated;
    this.part("calibration").textContent = row?.calibration_error ?? (calibrated && row.calibration ? `Calibrated: ${row.calibration}` : "");
    this.part("calibration").classList.toggle("warn", Boolean(row?.calibration_error));
    this.part("list").replaceChildren(...this.all.map((measure) => itemOf(this, measure, row)));
    this.onchange();
  }
}
