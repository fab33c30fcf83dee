// The bones by name: a coloured outline for each over the film, and a legend.

import * as api from "./api.js";
import { difference, inside } from "./raster.js";

const $ = (id) => document.getElementById(id);
const FILL = "40"; // opacity of the bone under the pointer in the legend, hexadecimal

export class Bones {
  constructor(editor, view, notify) {
    Object.assign(this, { editor, view, notify });
    this.canvas = $("bones");
    this.film = null; // the id of the film whose bones are shown or being fetched
    this.found = []; // {name, colour, area, path}
    this.chosen = null;
    const before = view.onchange;
    view.onchange = () => {
      before();
      this.draw();
    };
    $("show-bones").addEventListener("change", () => this.draw());
  }

  // Offer the switch where the model names bones; another model names them anew.
  offer({ bones, digest }) {
    if (digest !== this.model) this.#forget();
    this.model = digest;
    $("bones-switch").hidden = !bones.length;
    if (!bones.length) $("show-bones").checked = false;
    this.draw();
  }

  // The bone with a name that is shown at a film position, the smallest of several: {name, spans}. Its spans leave
  // out what is also of another bone.
  at(x, y) {
    const { width, height } = this.editor.mask;
    const context = this.canvas.getContext("2d");
    context.setTransform(1, 0, 0, 1, 0, 0);
    const here = this.found.filter((bone) => context.isPointInPath(bone.path, x, y, "evenodd"));
    if (!here.length) return null;
    const [bone] = here.sort((a, b) => a.area_px - b.area_px);
    const others = this.found.filter((one) => one !== bone).map((one) => inside(one.outlines));
    return { name: bone.name, spans: difference(inside(bone.outlines), others, width, height) };
  }

  draw() {
    const { canvas, view } = this;
    const [width, height] = [view.canvas.width, view.canvas.height];
    if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
    const context = canvas.getContext("2d");
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.clearRect(0, 0, width, height);
    const shown = $("show-bones").checked && view.film && this.editor.row;
    if (shown && this.editor.row.id !== this.film) this.#fetch(this.editor.row);
    if (!shown) this.#forget();
    context.setTransform(view.scale, 0, 0, view.scale, view.left, view.top);
    context.lineJoin = "round";
    for (const bone of this.found) {
      if (bone === this.chosen) {
        context.fillStyle = bone.colour + FILL;
        context.fill(bone.path, "evenodd");
      }
      for (const [thickness, colour] of [[4, "#0009"], [2, bone.colour]]) {
        context.lineWidth = (thickness * view.ratio) / view.scale;
        context.strokeStyle = colour;
        context.stroke(bone.path);
      }
    }
  }

  #forget() {
    if (this.film === null) return;
    this.loading?.abort();
    this.film = this.chosen = null;
    this.found = [];
    this.#list();
  }

  async #fetch(row) {
    this.#forget();
    this.film = row.id;
    this.loading = new AbortController();
    $("bones-legend").textContent = "naming bones…";
    try {
      const found = await api.bones(row.id, this.loading.signal);
      this.found = found.map((bone) => ({ ...bone, path: pathOf(bone.outlines) }));
      this.#list();
      this.draw();
    } catch (error) {
      if (error.name === "AbortError") return;
      $("show-bones").checked = false;
      this.#forget();
      this.notify(error.message, "error");
    }
  }

  #list() {
    const items = this.found.map((bone) => {
      const item = document.createElement("li");
      const mark = document.createElement("i");
      mark.style.background = bone.colour;
      const area = bone.area_mm2 === null ? `${bone.area_px} px` : `${Math.round(bone.area_mm2)} mm²`;
      item.append(mark, `${bone.name} `, Object.assign(document.createElement("span"), { textContent: area }));
      item.addEventListener("pointerenter", () => this.#choose(bone));
      item.addEventListener("pointerleave", () => this.#choose(null));
      return item;
    });
    if (!items.length && this.film !== null) items.push(Object.assign(document.createElement("li"), { textContent: "no bone has a name" }));
    $("bones-legend").replaceChildren(...items);
  }

  #choose(bone) {
    this.chosen = bone;
    this.draw();
  }
}

function pathOf(outlines) {
  const path = new Path2D();
  for (const ring of outlines) {
    ring.forEach(([x, y], i) => (i ? path.lineTo(x, y) : path.moveTo(x, y)));
    path.closePath();
  }
  return path;
}
