// A polygon that was drawn into the mask, and whose corners can still be moved.

import { UNDER, handles, path, stroke } from "./marks.js";
import { polygon } from "./raster.js";

const REACH = { mouse: 8, pen: 12, touch: 22 }; // screen px around a corner

export class DrawnPolygon {
  // points: [x, y] in film px; bone: whether it adds or erases; corners: whether they can be moved
  constructor(editor, view, points, bone, corners) {
    Object.assign(this, { editor, view, points, bone, corners });
    this.held = null; // the index of the corner being moved
    this.changed = editor.draw(polygon(points), bone, "polygon");
    this.version = editor.mask.version;
  }

  // Whether the corners can be moved: until the polygon is undone, or something else is drawn.
  get isLast() {
    return this.corners && this.editor.mask?.version === this.version;
  }

  // Take hold of the corner at a film position; false where there is none.
  take([x, y], pointer) {
    const reach = ((REACH[pointer] ?? REACH.mouse) * this.view.ratio) / this.view.scale;
    const distances = this.points.map(([px, py]) => Math.hypot(px - x, py - y));
    const nearest = distances.indexOf(Math.min(...distances));
    this.held = distances[nearest] <= reach ? nearest : null;
    return this.held !== null;
  }

  move(place) {
    this.points[this.held] = place;
  }

  // Let go of the corner: the polygon is drawn again in place of what it was.
  drop() {
    this.held = null;
    if (!this.isLast) return;
    if (this.changed) this.editor.takeBackLast();
    this.changed = this.editor.draw(polygon(this.points), this.bone, "polygon");
    this.version = this.editor.mask.version;
  }

  drawOn(context) {
    stroke(context, this.view, [[3.2, UNDER], [1.4, this.bone ? "#ffd27a" : "#9bd4ff"]], () => path(context, this.view, this.points, true));
    handles(context, this.view, this.points, 8);
  }
}
