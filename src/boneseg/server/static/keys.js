// Keyboard shortcuts: the help sheet and the event handlers.
//
// A row is [keys as shown, description, KeyboardEvent keys, action]; a row without the first two belongs to
// the row above it.

export function fillSheet(table, sheet) {
  for (const [title, rows] of Object.entries(table)) {
    const head = document.createElement("h3");
    head.textContent = title;
    sheet.append(head);
    for (const [keys, what] of rows) if (keys) sheet.append(line(keys, what));
  }
}

function line(keys, what) {
  const shown = document.createElement("span");
  for (const key of keys.split("  ")) {
    const cap = document.createElement("kbd");
    cap.textContent = key;
    shown.append(cap, " ");
  }
  const words = document.createElement("span");
  words.textContent = what;
  const whole = document.createElement("div");
  whole.append(shown, words);
  return whole;
}

const ARROWS = { arrowleft: [-1, 0], arrowright: [1, 0], arrowup: [0, -1], arrowdown: [0, 1] };
// Keys that auto-repeat. The others must not: holding "accept and next" would accept films unseen.
const REPEATED = new Set(["[", "]", ",", ".", "j", "k", "+", "=", "-", "z", "y", ...Object.keys(ARROWS)]);
const TYPED_IN = "input:not([type=range]):not([type=checkbox]), select, textarea";

// Shortcuts work everywhere except in fields and dialogs; arrows, Enter and Space only on the film.
export function listenToKeys(table, view, tools, canvas) {
  const acts = new Map();
  for (const rows of Object.values(table))
    for (const [, , keys, act] of rows) for (const key of keys) acts.set(key, act);

  function onFilm(key, event, control) {
    if (key in ARROWS) {
      const [dx, dy] = ARROWS[key];
      if (event.shiftKey) view.pan(-dx * 60, -dy * 60);
      else tools.moveCursor(dx, dy, control);
    } else if (key === "enter") tools.clickCursor(event.shiftKey);
    else if (key === " ") {
      tools.space = true;
      canvas.classList.add("moving");
    } else return false;
    return true;
  }

  document.addEventListener("keydown", (event) => {
    if (document.querySelector("dialog[open]") || event.target.closest(TYPED_IN)) return;
    const key = event.key.toLowerCase();
    const control = event.ctrlKey || event.metaKey;
    const free = event.target === canvas || event.target === document.body;
    if (event.repeat && !REPEATED.has(key) && key !== "tab") {
      event.preventDefault();
      return;
    }
    if (free && onFilm(key, event, control)) {
      event.preventDefault();
      return;
    }
    const shift = control && event.shiftKey ? "shift+" : "";
    const act = acts.get(`${control ? "ctrl+" : ""}${shift}${key}`);
    if (!act || event.altKey) return;
    event.preventDefault();
    act();
  });
  document.addEventListener("keyup", (event) => {
    if (event.key !== " ") return;
    tools.space = false;
    canvas.classList.remove("moving");
  });
}
