// The geometry of measures, as in `boneseg.masks.measures.geometry`.

export const KINDS = {
  length: { name: "Length", points: 2, help: "Drag a line, or click its ends" },
  angle: { name: "Angle", points: 3, help: "Click an end, the vertex, and the other end" },
  cobb: { name: "Cobb angle", points: 4, help: "Drag two lines, along the end plates" },
  alignment: { name: "Leg alignment", points: 3, help: "Click the centres of hip, knee and ankle" },
  calibrate: { name: "Calibrate…", points: 2, help: "Drag a line over something of known size: a scale, or across a ball" },
};

// The values of a measure in words, by what they are; spacing: mm of (rows, columns), or null; medial: the side
// of the film that is medial, or null.
export function valuesOf(kind, points, spacing, medial = null) {
  const [rows, columns] = spacing ?? [1, 1];
  const unit = spacing ? "mm" : "px";
  const at = points.map(([x, y]) => [x * columns, y * rows]);
  const vector = ([ax, ay], [bx, by]) => [bx - ax, by - ay];
  const length = (a, b) => `${Math.hypot(...vector(a, b)).toFixed(1)} ${unit}`;
  const between = ([ax, ay], [bx, by]) => (Math.atan2(Math.abs(ax * by - ay * bx), ax * bx + ay * by) * 180) / Math.PI;
  if (kind === "length" || kind === "calibrate") return { length: length(at[0], at[1]) };
  if (kind === "angle") return { angle: `${between(vector(at[1], at[0]), vector(at[1], at[2])).toFixed(1)}°` };
  if (kind === "cobb") {
    const angle = between(vector(at[0], at[1]), vector(at[2], at[3]));
    return { Cobb: `${Math.min(angle, 180 - angle).toFixed(1)}°` };
  }
  const [hip, knee, ankle] = at;
  const [axis, aside] = [vector(hip, ankle), vector(hip, knee)];
  const whole = Math.hypot(...axis);
  const [thigh, calf] = [vector(hip, knee), vector(knee, ankle)];
  const bend = between(thigh, calf);
  const right = (thigh[0] * calf[1] - thigh[1] * calf[0]) * (ankle[1] < hip[1] ? -1 : 1); // > 0: the knee is there
  const word = !medial ? "varus or valgus" : !right || right > 0 === (medial === "left") ? "varus" : "valgus";
  const deviation = whole ? Math.abs(axis[0] * aside[1] - axis[1] * aside[0]) / whole : Math.hypot(...aside);
  return {
    HKA: `${(word === "valgus" ? 180 + bend : 180 - bend).toFixed(1)}°`,
    [word]: `${bend.toFixed(1)}°`,
    "axis deviation": `${deviation.toFixed(1)} ${unit}`,
    femur: length(hip, knee),
    tibia: length(knee, ankle),
  };
}
