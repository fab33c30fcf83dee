// The tool buttons.

import { TOOLS } from "./tools.js";

const SVG = "http://www.w3.org/2000/svg";
const ICONS = {
  brush: "M4 20c3 0 5-1 5-4 0-2 4-7 9-12l2 2c-5 5-10 9-12 9",
  eraser: "M8 20h12M5 14l8-9 6 5-8 9H8z",
  polygon: "M5 8l8-4 7 7-4 9-10-3z",
  fill: "M12 4c4 5 6 8 6 11a6 6 0 0 1-12 0c0-3 2-6 6-11z",
  bone: "M12 3v18M3 12h18M7 7a7 7 0 1 0 10 0a7 7 0 0 0-10 0",
  measure: "M3 16L16 3l5 5L8 21zM8 11l2 2M11 8l2 2M14 5l2 2",
  window: "M12 3a9 9 0 1 0 0 18zM12 3a9 9 0 0 1 0 18",
  hand: "M12 3v18M3 12h18M9 6l3-3 3 3M9 18l3 3 3-3M6 9l-3 3 3 3M18 9l3 3-3 3",
};

export function fillToolbar(element, choose) {
  for (const [tool, { key, name, help }] of Object.entries(TOOLS)) {
    const button = document.createElement("button");
    button.type = "button";
    button.dataset.tool = tool;
    button.title = `${name} (${key.toUpperCase()}): ${help}`;
    button.setAttribute("aria-label", name);
    button.setAttribute("aria-keyshortcuts", key);
    const letter = document.createElement("span");
    letter.textContent = key.toUpperCase();
    letter.setAttribute("aria-hidden", "true");
    button.append(icon(ICONS[tool]), letter);
    button.addEventListener("click", () => choose(tool));
    element.append(button);
  }
}

export function markTool(element, chosen) {
  for (const button of element.children) button.setAttribute("aria-pressed", String(button.dataset.tool === chosen));
}

function icon(lines) {
  const drawing = document.createElementNS(SVG, "svg");
  drawing.setAttribute("viewBox", "0 0 24 24");
  drawing.setAttribute("aria-hidden", "true");
  const path = document.createElementNS(SVG, "path");
  path.setAttribute("d", lines);
  drawing.append(path);
  return drawing;
}
