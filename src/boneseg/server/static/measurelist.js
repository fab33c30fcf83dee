// The measures of a film in the panel: their names and values, and how they are changed.

import { KINDS, valuesOf } from "./geometry.js";

const SIDES = [["", "not known"], ["left", "left of the film"], ["right", "right of the film"]];

// The line of one measure. measures: has `changed()`, after a change of the measure, and `remove(measure)`.
export function itemOf(measures, measure, row) {
  const item = document.createElement("li");
  const what = KINDS[measure.kind].name;
  item.append(nameOf(measures, measure, what), removalOf(measures, measure, what), wordsOf(measure, row));
  if (measure.kind === "alignment") item.append(medialSideOf(measures, measure));
  return item;
}

function nameOf(measures, measure, what) {
  const name = document.createElement("input");
  name.value = measure.name;
  name.maxLength = 60;
  name.placeholder = what;
  name.setAttribute("aria-label", `Name of the ${what.toLowerCase()}`);
  name.addEventListener("change", () => {
    measure.name = name.value.trim();
    measures.changed();
  });
  return name;
}

function removalOf(measures, measure, what) {
  const remove = document.createElement("button");
  remove.type = "button";
  remove.textContent = "✕";
  remove.setAttribute("aria-label", `Delete the ${what.toLowerCase()}`);
  remove.addEventListener("click", () => measures.remove(measure));
  return remove;
}

function wordsOf(measure, row) {
  const values = document.createElement("output");
  const found = Object.entries(valuesOf(measure.kind, measure.points, row?.spacing_mm, measure.medial));
  values.textContent = found.map(([what, value]) => (found.length > 1 ? `${what} ${value}` : value)).join(" · ");
  if (measure.suggested) values.textContent += " · suggested, check hip, knee, ankle";
  return values;
}

function medialSideOf(measures, measure) {
  const label = document.createElement("label");
  const choice = document.createElement("select");
  for (const [side, words] of SIDES) choice.append(new Option(words, side));
  choice.value = measure.medial ?? "";
  choice.addEventListener("change", () => {
    measure.medial = choice.value || null;
    measures.changed();
  });
  label.className = "medial";
  label.append("Medial side: ", choice);
  return label;
}
