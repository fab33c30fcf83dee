// The drawing tools: mouse, pen, touch (one or two fingers) and keyboard input on the film.

import { drawMarks } from "./marks.js";
import { DrawnPolygon } from "./polygon.js";
import { boxOf, disc } from "./raster.js";

export const TOOLS = {
  brush: { key: "b", name: "Brush", help: "Draw bone; Shift erases" },
  eraser: { key: "e", name: "Eraser", help: "Erase bone" },
  polygon: { key: "p", name: "Polygon", help: "Click the corners, or drag around; Enter closes, Shift erases; corners can be moved afterwards" },
  fill: { key: "f", name: "Fill", help: "Click a hole to fill it; Shift removes the region" },
  bone: { key: "g", name: "Bone", help: "Click a bone to add it, or to remove it where it is drawn; with the bones shown, one bone by its name" },
  measure: { key: "m", name: "Measure", help: "Drag a line for its length, in mm where the size of a pixel is known; the panel has angles" },
  window: { key: "w", name: "Window", help: "Drag horizontally for contrast, vertically for brightness" },
  hand: { key: "h", name: "Move", help: "Drag the film (or hold Space, or the middle button)" },
};

const LARGEST = 1000; // film px of the brush
const CLOSE = { mouse: 9, pen: 12, touch: 24 }; // screen px within which a polygon's first corner closes it

export class Tools {
  constructor(editor, view, canvas, measures) {
    Object.assign(this, { editor, view, canvas, measures });
    this.tool = "brush";
    this.reach = 24; // of the brush, screen px: it covers the same on the screen however large the film is shown
    this.size = 12; // likewise, film px
    this.pointers = new Map();
    this.cursor = null; // film px under the pointer, or moved by the arrow keys
    this.byKeys = false;
    this.points = []; // of a polygon
    this.shape = null; // the polygon drawn last
    this.pointer = "mouse";
    this.space = false;
    this.onchange = () => {};
    this.namedAt = () => null; // (x, y): the bone that is shown there with its name, for `Editor.boneAt`
    const on = (name, handler, options) => canvas.addEventListener(name, handler.bind(this), options);
    on("pointerdown", this.down);
    on("pointermove", this.move);
    on("pointerup", this.up);
    on("pointercancel", this.cancelled);
    on("pointerleave", this.leave);
    on("dblclick", () => this.tool === "polygon" && this.closePolygon(false));
    on("contextmenu", (event) => event.preventDefault());
    on("wheel", this.wheel, { passive: false });
    view.onchange = () => this.drawMarks();
    view.onzoom = () => this.scaleBrush();
    editor.settle = () => this.settle();
  }

  choose(tool) {
    this.cancel();
    this.tool = tool;
    this.canvas.dataset.tool = tool;
    this.drawMarks();
    this.onchange();
  }

  // Set the brush in film px.
  resizeBrush(size) {
    this.size = Math.round(Math.min(LARGEST, Math.max(1, size)));
    this.reach = (this.size * this.view.scale) / this.view.ratio;
    this.drawMarks();
    this.onchange();
  }

  // Set the brush in screen px.
  reachTo(reach) {
    this.reach = reach;
    this.scaleBrush();
  }

  scaleBrush() {
    const size = Math.round((this.reach * this.view.ratio) / this.view.scale);
    this.size = Math.min(LARGEST, Math.max(1, size));
    this.drawMarks();
    this.onchange();
  }

  at(event) {
    const box = this.canvas.getBoundingClientRect();
    const ratio = this.view.ratio;
    return [(event.clientX - box.left) * ratio, (event.clientY - box.top) * ratio];
  }

  down(event) {
    if (!this.view.film) return;
    event.preventDefault();
    this.canvas.focus({ preventScroll: true });
    try {
      this.canvas.setPointerCapture(event.pointerId);
    } catch {
      // synthetic pointers cannot be captured
    }
    const place = this.at(event);
    this.pointers.set(event.pointerId, place);
    this.byKeys = false;
    this.pointer = event.pointerType;
    if (this.pointers.size === 2) {
      this.giveUpStroke();
      this.action = { kind: "pinch" };
      return;
    }
    if (this.pointers.size > 2) return;
    this.cursor = this.view.toFilm(...place);
    const erase = event.shiftKey || event.altKey || Boolean(event.buttons & 32);
    if (event.button === 1 || this.space || this.tool === "hand") this.action = { kind: "pan", place };
    else if (event.button === 2 || this.tool === "window") this.action = { kind: "window", place };
    else this.press(this.cursor, erase);
  }

  // What undo and redo act on.
  get undoable() {
    return this.tool === "measure" ? this.measures : this.editor;
  }

  // Start the tool's action at a film position.
  press([x, y], erase) {
    const { editor, tool } = this;
    if (tool === "brush" || tool === "eraser") {
      editor.mask.begin();
      this.action = { kind: "stroke", last: [x, y], bone: tool === "brush" && !erase };
      this.stamp([x, y]);
    } else if (tool === "polygon") {
      const corner = !this.points.length && this.shape?.isLast && this.shape.take([x, y], this.pointer);
      if (corner) this.action = { kind: "corner" };
      else if (this.closes(x, y)) this.closePolygon(erase);
      else {
        this.points.push([x, y]);
        this.action = { kind: "lasso" };
      }
      this.drawMarks();
    } else if (tool === "fill") editor.fillAt(x, y, erase);
    else if (tool === "bone") editor.boneAt(x, y, erase, this.namedAt(x, y));
    else if (tool === "measure") {
      this.measures.press([x, y], this.byKeys ? "mouse" : this.pointer);
      this.action = { kind: "measure" };
      this.drawMarks();
    }
  }

  move(event) {
    if (!this.view.film) return;
    const place = this.at(event);
    const before = this.pointers.get(event.pointerId);
    this.cursor = this.view.toFilm(...place);
    this.byKeys = false;
    if (!before || !this.action) {
      this.drawMarks();
      return;
    }
    if (this.action.kind === "pinch") {
      this.pinch(event.pointerId, place);
      return;
    }
    this.pointers.set(event.pointerId, place);
    const [dx, dy] = [place[0] - before[0], place[1] - before[1]];
    if (this.action.kind === "pan") this.view.pan(dx, dy);
    else if (this.action.kind === "window") this.editor.dragWindow(dx / this.view.ratio, dy / this.view.ratio);
    else if (this.action.kind === "stroke") {
      const events = event.getCoalescedEvents?.() ?? [];
      for (const each of events.length ? events : [event]) this.stroke(this.view.toFilm(...this.at(each)));
    } else if (this.action.kind === "lasso") this.lasso();
    else if (this.action.kind === "measure") this.measures.move(this.cursor);
    else if (this.action.kind === "corner") this.shape.move(this.cursor);
    this.drawMarks();
  }

  up(event) {
    this.pointers.delete(event.pointerId);
    const { action } = this;
    if (!action) return;
    if (action.kind === "pinch") {
      if (!this.pointers.size) this.action = null;
      return;
    }
    this.settle();
    if (action.kind === "lasso" && action.dragged && this.points.length > 5)
      this.closePolygon(event.shiftKey || event.altKey, false);
    this.drawMarks();
  }

  // Finish the current action.
  settle() {
    const { action } = this;
    this.action = null;
    if (action?.kind === "stroke") this.editor.finish(action.bone ? "brush" : "eraser");
    if (action?.kind === "corner") this.shape.drop();
    if (action?.kind === "measure") this.measures.release(this.cursor);
  }

  cancelled(event) {
    this.pointers.delete(event.pointerId);
    this.giveUpStroke();
    if (!this.pointers.size) this.action = null;
  }

  leave() {
    if (this.action) return;
    this.cursor = null;
    this.drawMarks();
  }

  wheel(event) {
    event.preventDefault();
    if (!this.view.film) return;
    const step = event.deltaMode === 1 ? event.deltaY * 30 : event.deltaY;
    if (event.altKey) this.resizeBrush(this.size * (step < 0 ? 1.15 : 1 / 1.15) + (step < 0 ? 0.5 : -0.5));
    else if (event.shiftKey) this.view.pan(-step, 0);
    else this.view.zoom(Math.exp(-step * (event.ctrlKey ? 0.01 : 0.0018)), ...this.at(event));
  }

  pinch(pointer, place) {
    const [first, second] = [...this.pointers.values()];
    const distance = (a, b) => Math.hypot(a[0] - b[0], a[1] - b[1]);
    const middle = (a, b) => [(a[0] + b[0]) / 2, (a[1] + b[1]) / 2];
    if (!second) return;
    const before = { distance: distance(first, second), middle: middle(first, second) };
    this.pointers.set(pointer, place);
    const [a, b] = [...this.pointers.values()];
    const now = { distance: distance(a, b), middle: middle(a, b) };
    this.view.pan(now.middle[0] - before.middle[0], now.middle[1] - before.middle[1]);
    if (before.distance > 10) this.view.zoom(now.distance / before.distance, ...now.middle);
  }

  stroke(to) {
    const from = this.action.last;
    const [dx, dy] = [to[0] - from[0], to[1] - from[1]];
    const steps = Math.max(1, Math.ceil(Math.hypot(dx, dy) / Math.max(1, this.size / 5)));
    for (let i = 1; i <= steps; i++) this.stamp([from[0] + (dx * i) / steps, from[1] + (dy * i) / steps]);
    this.action.last = to;
  }

  stamp([x, y]) {
    const spans = disc(x, y, this.size);
    this.editor.mask.set(spans, this.action.bone);
    this.view.relayer(boxOf(spans));
  }

  lasso() {
    const [x, y] = this.cursor;
    const [lx, ly] = this.points.at(-1);
    if (Math.hypot(x - lx, y - ly) * this.view.scale < 4 * this.view.ratio) return;
    this.points.push([x, y]);
    this.action.dragged = true;
  }

  closes(x, y) {
    if (this.points.length < 3) return false;
    const [fx, fy] = this.points[0];
    return Math.hypot(x - fx, y - fy) * this.view.scale < (CLOSE[this.pointer] ?? CLOSE.mouse) * this.view.ratio;
  }

  // corners: whether they can be moved afterwards; a lasso has too many.
  closePolygon(erase, corners = true) {
    const points = this.points;
    this.points = [];
    this.action = null;
    this.shape = points.length >= 3 ? new DrawnPolygon(this.editor, this.view, points, !erase, corners) : null;
    this.drawMarks();
  }

  // Escape: cancel the current action.
  cancel() {
    this.giveUpStroke();
    this.points = [];
    this.shape = null;
    this.action = null;
    this.measures.cancel();
    this.drawMarks();
  }

  giveUpStroke() {
    if (this.action?.kind === "stroke") this.editor.takeBack();
    if (this.action?.kind === "lasso" && !this.action.dragged) this.points.pop();
    if (this.action?.kind === "measure") this.measures.giveUp();
    this.action = null;
  }

  // The arrow keys move a crosshair; Enter clicks there.
  moveCursor(dx, dy, far) {
    const { film } = this.view;
    if (!film) return;
    const step = far ? Math.max(10, this.size) : 1;
    const middle = this.view.toFilm(this.canvas.width / 2, this.canvas.height / 2);
    const [x, y] = this.cursor ?? middle;
    const clamp = (value, most) => Math.min(most - 0.5, Math.max(0.5, value));
    this.cursor = [
      clamp(Math.floor(x) + 0.5 + dx * step, film.width),
      clamp(Math.floor(y) + 0.5 + dy * step, film.height),
    ];
    this.byKeys = true;
    this.drawMarks();
  }

  // Enter clicks at the crosshair; for a polygon, a second Enter at the same place closes it.
  clickCursor(erase) {
    if (!this.view.film) return;
    if (this.tool === "polygon" && this.points.length >= 3 && (!this.byKeys || this.same(this.points.at(-1)))) {
      this.closePolygon(erase);
      return;
    }
    if (!this.byKeys || !this.cursor) return;
    this.press(this.cursor, erase);
    this.settle();
  }

  same([x, y]) {
    return this.cursor && this.cursor[0] === x && this.cursor[1] === y;
  }

  dropCorner() {
    this.points.pop();
    this.measures.dropPoint();
    this.drawMarks();
  }

  // Draw the brush outline, the polygon, the measures and the crosshair.
  drawMarks() {
    drawMarks(this, this.view);
    this.onmove?.(this.cursor);
  }
}
