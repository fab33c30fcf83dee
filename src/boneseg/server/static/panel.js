// The side panel: view settings and facts of the film.

import { SPACINGS } from "./editor.js";
import { markTool } from "./toolbar.js";

const $ = (id) => document.getElementById(id);
const NEED_A_FILM = ["undo", "redo", "islands", "holes", "smooth", "grow", "shrink", "over", "level", "history", "download", "fit", "whole", "teaches", "previous", "following"];
const LAYERS = ["show-mask", "show-outline", "show-probability", "show-invert", "show-compare"];
const FILL = 30; // default opacity in per cent

export class Panel {
  constructor(editor, view, tools) {
    Object.assign(this, { editor, view, tools });
    this.keeps = false; // whether there is a folder to save into
    this.#remember();
    const on = (id, name, act) => $(id).addEventListener(name, act);
    on("level", "input", () => {
      editor.tryThreshold(Number($("level").value));
      this.#showLevel();
    });
    on("level", "change", () => editor.setThreshold(Number($("level").value)));
    on("size", "input", () => tools.reachTo(Number($("size").value)));
    for (const id of LAYERS) on(id, "change", () => this.showLayers());
    on("reference", "change", () => this.compare($("reference").value));
    on("opacity", "input", () => this.showLayers());
    on("contrast", "input", () => this.#setGrey("width", 2 ** (-$("contrast").value / 100)));
    on("brightness", "input", () => this.#setGrey("centre", (1 - $("brightness").value / 100) / 2));
    editor.onchange = () => this.show();
    editor.ongrey = () => this.#showGrey();
    tools.onchange = () => this.showTool();
    tools.onmove = (place) => this.#read(place);
  }

  get small() {
    return Math.max(1, Number($("small").value) || 1);
  }

  // Set the size limit for islands and holes from the film's area.
  opened() {
    const { width, height } = this.editor.row;
    $("small").value = Math.max(16, Math.round((width * height) / 4000));
  }

  // How far a mask is grown, shrunk or smoothed at once: a pixel, more on large films.
  get step() {
    const { width, height } = this.editor.row;
    return Math.max(1, Math.round(Math.max(width, height) / 1000));
  }

  toggle(id) {
    $(id).checked = !$(id).checked;
    this.showLayers();
  }

  // Move a slider from the keyboard.
  slide(id, step) {
    if ($(id).disabled) return;
    $(id).value = Number($(id).value) + step;
    $(id).dispatchEvent(new Event("input"));
    $(id).dispatchEvent(new Event("change"));
  }

  compare(which) {
    $("show-compare").checked = true;
    $("reference").value = which;
    this.showLayers();
  }

  resetGrey() {
    this.view.window.centre = 0.5;
    this.#setGrey("width", 1);
  }

  show() {
    const { row, mask, dirty } = this.editor;
    $("empty").hidden = Boolean(row) || !$("busy").hidden;
    document.title = row ? `${dirty ? "● " : ""}${row.name} – boneseg light box` : "boneseg light box";
    for (const id of NEED_A_FILM) $(id).disabled = !row;
    $("save").disabled = $("accept").disabled = !row || !this.keeps;
    $("remove").hidden = !row?.inbox;
    $("facts").replaceChildren();
    this.#showTitle();
    $("scale").hidden = !(row && this.view.show.probability);
    if (!row) {
      $("marks").setAttribute("aria-label", "No film is open");
      $("dice").textContent = "";
      return;
    }
    this.showUndo();
    $("level").value = this.editor.level;
    this.#showLevel();
    const area = mask.area();
    for (const [term, value] of Object.entries(factsOf(row, area, dirty))) {
      const [dt, dd] = [document.createElement("dt"), document.createElement("dd")];
      dt.textContent = term;
      dd.textContent = value;
      dd.classList.toggle("wide", !term);
      $("facts").append(...(term ? [dt, dd] : [dd]));
    }
    const share = ((100 * area) / mask.values.length).toFixed(1);
    $("marks").setAttribute("aria-label", `${row.name}, ${row.width} by ${row.height} pixels, ${share} percent bone, ${row.state}`);
    this.#showGrey();
    this.#showDice();
  }

  // What undo acts on depends on the tool: the measures, or the mask.
  showUndo() {
    const { row } = this.editor;
    $("undo").disabled = !row || !this.tools.undoable.canUndo;
    $("redo").disabled = !row || !this.tools.undoable.canRedo;
  }

  // The film's name over the film, with its state.
  #showTitle() {
    const { row, dirty } = this.editor;
    const state = document.createElement("span");
    state.textContent = row ? (dirty ? "unsaved changes" : row.state) : "";
    $("title").replaceChildren(...(row ? [row.name, state] : []));
  }

  showLayers() {
    const { view, editor } = this;
    Object.assign(view.show, {
      mask: $("show-mask").checked,
      outline: $("show-outline").checked,
      probability: $("show-probability").checked,
      compare: $("show-compare").checked,
      opacity: $("opacity").value / 100,
    });
    $("scale").hidden = !(view.show.probability && editor.row);
    $("opacity-out").textContent = `${$("opacity").value} %`;
    if (view.window.invert !== $("show-invert").checked) {
      view.window.invert = $("show-invert").checked;
      view.redraw();
    }
    if (editor.row) {
      editor.chooseReference($("reference").value);
      this.#showDice();
    }
    view.relayer();
    const kept = ["show-mask", "show-outline", "show-invert"].map((id) => [id, $(id).checked]);
    localStorage.setItem("layers", JSON.stringify([...kept, ["opacity", $("opacity").value]]));
  }

  showTool() {
    markTool($("tools"), this.tools.tool);
    this.showUndo();
    $("size").value = Math.round(this.tools.reach);
    $("size-out").textContent = `${this.tools.size} px`;
    localStorage.setItem("brush", this.tools.reach);
  }

  // Restore the settings of the last visit.
  #remember() {
    $("opacity").value = FILL;
    for (const [id, value] of JSON.parse(localStorage.getItem("layers") ?? "[]")) {
      if (typeof value === "boolean") $(id).checked = value;
      else $(id).value = value;
    }
    this.tools.reach = Number(localStorage.getItem("brush")) || this.tools.reach;
  }

  #setGrey(which, value) {
    this.view.window[which] = value;
    this.view.redraw();
    this.#showGrey();
  }

  #showLevel() {
    const level = this.editor.level / 256;
    $("level-out").textContent = level.toFixed(2);
    $("scale-mark").style.left = `${100 * level}%`;
  }

  #showGrey() {
    const { centre, width } = this.view.window;
    $("contrast").value = Math.round(-100 * Math.log2(width));
    $("contrast-out").textContent = `× ${(1 / width).toFixed(2)}`;
    $("brightness").value = Math.round(100 * (1 - 2 * centre));
    $("brightness-out").textContent = Math.round(100 * (1 - 2 * centre));
  }

  #showDice() {
    const { compare } = this.view.show;
    $("legend").hidden = !compare;
    const dice = compare ? this.editor.dice() : null;
    $("dice").textContent = dice === null ? (compare ? "No saved mask to compare with" : "") : `Dice ${dice.toFixed(4)}`;
  }

  // Show the pointer's position and the values there.
  #read(place) {
    const { film, scale, ratio, probability } = this.view;
    $("readout").textContent = "";
    if (!film || !place) return;
    const [x, y] = place.map(Math.floor);
    const inside = x >= 0 && y >= 0 && x < film.width && y < film.height;
    const at = y * film.width + x;
    const values = () => `${x}, ${y}  grey ${(film.pixels[at] / 65535).toFixed(3)}  bone ${(probability[at] / 256).toFixed(2)}  `;
    $("readout").textContent = `${inside ? values() : ""}${Math.round((100 * scale) / ratio)} %`;
  }
}

function factsOf(row, area, dirty) {
  const spacing = row.spacing_mm;
  return {
    Size: `${row.width} × ${row.height} px`,
    Pixel: spacing ? `${spacing[0].toFixed(3)} mm ${SPACINGS[row.spacing_kind] ?? ""}` : row.spacing_kind === "placeholder" ? "spacing of 1 mm is a placeholder; calibrate" : "spacing unknown",
    Bone: `${area.toLocaleString()} px` + (spacing ? `, ${Math.round(area * spacing[0] * spacing[1]).toLocaleString()} mm²` : ""),
    Shows: row.part === null ? "–" : partOf(row),
    Verdict: row.verdict === null ? "–" : `${row.verdict}, trust ${row.trust?.toFixed(3) ?? "–"}`,
    ...(row.reason ? { "": row.reason } : {}),
    ...(Object.keys(row.tags ?? {}).length ? { Header: headerOf(row.tags) } : {}),
    State: dirty ? `${row.state}, unsaved changes` : row.state,
  };
}

const SIDES = { L: "left", R: "right", B: "both sides", U: "unpaired" };

const headerOf = ({ part, view, laterality }) => [part, view, SIDES[laterality] ?? laterality].filter(Boolean).join(", ");

function partOf(row) {
  const percent = (share) => `${Math.round(100 * share)} %`;
  const part = `${row.part} (${percent(row.part_confidence)})`;
  return row.projection ? `${part}, ${row.projection} (${percent(row.projection_confidence)})` : part;
}
