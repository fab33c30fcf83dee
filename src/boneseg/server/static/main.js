// The page: its parts, put together; buttons, keys, dropped files.

import * as api from "./api.js";
import { Editor } from "./editor.js";
import { fillSheet, listenToKeys } from "./keys.js";
import { FilmList } from "./list.js";
import { TOOLS, Tools } from "./tools.js";
import { Training } from "./train.js";
import { unpackBits } from "./raster.js";
import { View } from "./view.js";

const $ = (id) => document.getElementById(id);
const EVERY = 1500; // ms between two looks at the server
const ICONS = {
  brush: "M4 20c3 0 5-1 5-4 0-2 4-7 9-12l2 2c-5 5-10 9-12 9",
  eraser: "M8 20h12M5 14l8-9 6 5-8 9H8z",
  polygon: "M5 8l8-4 7 7-4 9-10-3z",
  fill: "M12 4c4 5 6 8 6 11a6 6 0 0 1-12 0c0-3 2-6 6-11z",
  grow: "M12 3v18M3 12h18M7 7a7 7 0 1 0 10 0a7 7 0 0 0-10 0",
  measure: "M3 16L16 3l5 5L8 21zM8 11l2 2M11 8l2 2M14 5l2 2",
  window: "M12 3a9 9 0 1 0 0 18zM12 3a9 9 0 0 1 0 18",
  hand: "M12 3v18M3 12h18M9 6l3-3 3 3M9 18l3 3 3-3M6 9l-3 3 3 3M18 9l3 3-3 3",
};

const view = new View($("film"), $("marks"));
const editor = new Editor(view, say);
const tools = new Tools(editor, view, $("marks"));
const list = new FilmList($("films"), $("count"), open);
const training = new Training($("train"), say, () => refresh(true));
let server = null; // what /api/health said last
let version = null;

// -- what is said ------------------------------------------------------------------------------

function say(words, kind = "info") {
  const line = document.createElement("p");
  line.textContent = words;
  line.className = kind;
  if (kind === "quiet") document.querySelectorAll("#says .quiet").forEach((old) => old.remove());
  $("says").append(line);
  const stay = { quiet: 1600, good: 2500, info: 6000, error: 10000 }[kind];
  setTimeout(() => line.remove(), stay);
}

async function trying(what) {
  try {
    return await what();
  } catch (error) {
    if (error.name !== "AbortError") say(error.message, "error");
    return null;
  }
}

// -- films -------------------------------------------------------------------------------------

let wanted = null; // the film asked for last: an earlier one may still be on its way

async function open(id, again = false) {
  if (id === editor.row?.id && !again) return;
  if (!(await leave())) return;
  wanted = id;
  $("busy").hidden = false;
  $("empty").hidden = true;
  list.mark(id);
  $("list").classList.remove("open");
  try {
    await editor.open(id);
    localStorage.setItem("film", id);
    list.replace(editor.row);
    list.mark(id);
    tools.giveUp();
    showHistory();
    $("small").value = Math.max(16, Math.round((editor.row.width * editor.row.height) / 4000));
    $("marks").focus({ preventScroll: true });
  } catch (error) {
    if (error.name === "AbortError") return;
    say(error.message, "error");
    editor.close();
  } finally {
    if (wanted === id) $("busy").hidden = true;
    show();
  }
}

// What was drawn goes with the film that is left: as corrected, with its history. False: stay.
async function leave() {
  if (!editor.dirty) return true;
  if (!server?.folder) {
    await editor.keepDraft();
    return true;
  }
  const saved = await trying(() => editor.save("corrected", conflict));
  if (saved) {
    list.replace(saved);
    say(`${saved.name}: saved as corrected`, "good");
  }
  return Boolean(saved);
}

async function save(state) {
  if (!editor.row) return;
  const saved = await trying(() => editor.save(state, conflict));
  if (!saved) return;
  list.replace(saved);
  say(`${saved.name}: ${state}`, "good");
  showHistory();
  if (state === "accepted") await next();
}

async function next() {
  await refresh(true);
  const rows = list.rows.filter((row) => row.state === "suggested" && row.id !== editor.row?.id);
  rows.sort((a, b) => (a.place ?? 1e9) - (b.place ?? 1e9));
  if (rows.length) await open(rows[0].id);
  else say("Every film that was looked at has a mask", "good");
}

// Somebody else has saved since: ask, and do that.
async function conflict(error, state) {
  $("conflict-why").textContent = error.message;
  const choice = await ask($("conflict"));
  if (!choice) return null;
  const theirs = await editor.seeTheirs();
  if (choice === "mine") return editor.save(state, conflict);
  if (choice === "theirs") editor.replaceBy(theirs, "take theirs");
  $("show-compare").checked = true;
  $("reference").value = "saved";
  showLayers();
  say(choice === "theirs" ? "Undo brings yours back" : "Blue is theirs, orange yours; save when it is right", "info");
  return null;
}

function ask(dialog) {
  dialog.returnValue = "";
  dialog.showModal();
  return new Promise((done) => dialog.addEventListener("close", () => done(dialog.returnValue), { once: true }));
}

async function add(files) {
  const many = [...files];
  let last = null;
  $("busy").hidden = false;
  for (const file of many) {
    const row = await trying(() => api.addFilm(file));
    if (!row) continue;
    list.replace(row);
    last = row;
  }
  $("busy").hidden = true;
  if (last) {
    if (many.length > 1) say(`${many.length} films looked at`, "good");
    await open(last.id);
  }
}

async function remove() {
  const { id, name } = editor.row;
  if (!(await trying(() => api.removeFilm(id)))) return;
  editor.close();
  say(`${name}: removed`, "good");
  refresh(true);
}

async function showHistory() {
  const { row } = editor;
  const select = $("history");
  const versions = (await trying(() => api.history(row.id))) ?? [];
  if (editor.row !== row) return;
  select.replaceChildren(new Option(versions.length ? "choose one to bring it back…" : "none yet", ""));
  for (const { revision, saved } of versions) select.append(new Option(new Date(saved).toLocaleString(), revision));
}

async function bringBack(revision) {
  const bits = await trying(() => api.earlier(editor.row.id, revision));
  if (bits) editor.replaceBy(unpackBits(bits, editor.mask.values.length), "earlier version");
}

async function download(form) {
  if (editor.dirty) {
    if (!server?.folder) {
      say("The file holds the model's mask; what you drew cannot be saved without --data", "error");
    } else if (!(await leave())) return;
  }
  const file = await trying(() => api.download(editor.row.id, form));
  if (!file) return;
  const link = document.createElement("a");
  link.href = URL.createObjectURL(file.content);
  link.download = file.name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}

// -- following the server ----------------------------------------------------------------------

let refreshing = false;
let trouble = null; // what the server answered last, where that was an error
async function refresh(force = false) {
  if (refreshing || (document.hidden && !force)) return;
  refreshing = true;
  try {
    const health = await api.health();
    const old = server;
    server = health;
    if (old?.model.digest !== health.model.digest || old.folder !== health.folder) showServer();
    if (old && old.model.digest !== health.model.digest) newModel();
    if (force || health.version !== version) {
      const { films, version: now } = await api.films();
      version = now;
      list.update(films);
      if (editor.row && !films.some((row) => row.id === editor.row.id))
        say(`${editor.row.name}: is gone; somebody has removed the film`, "error");
    }
    if ($("train").open || (training.run?.state === "running" && health.training !== "running")) {
      const before = training.run?.state;
      const run = await training.refresh();
      if (before === "running" && run.state === "done" && !$("train").open)
        say("The training has finished: see Retrain…", "good");
    }
    $("train-open").classList.toggle("primary", health.training === "running");
    $("train-open").textContent = health.training === "running" ? "Training…" : "Retrain…";
    trouble = null;
  } catch (error) {
    if (error.message !== trouble) say(error.message, "error"); // once, and not every time
    trouble = error.message;
  } finally {
    refreshing = false;
  }
}

// The suggestion on the screen is of the old model: look again, unless somebody is drawing.
function newModel() {
  if (!editor.row) return;
  if (editor.dirty) say("What the new model suggests is shown once the film is opened again", "info");
  else trying(() => open(editor.row.id, true));
}

function showServer() {
  const kept = server.folder !== null;
  $("folder").textContent = kept ? server.folder : "Nothing is kept: start with --data DIR to save masks";
  $("folder").classList.toggle("warn", !kept);
  $("save").disabled = $("accept").disabled = !kept;
  $("train-open").hidden = !kept;
  const dice = server.model.dice;
  $("model").textContent = `model ${server.model.digest.slice(0, 6)}`;
  $("model").title = dice ? `Its validation Dice was ${dice.toFixed(3)}` : "";
}

// -- what is shown -----------------------------------------------------------------------------

function show() {
  const { row, mask } = editor;
  $("empty").hidden = Boolean(row) || !$("busy").hidden;
  document.title = row ? `${editor.dirty ? "● " : ""}${row.name} – boneseg light box` : "boneseg light box";
  for (const id of ["undo", "redo", "islands", "holes", "over", "level", "history", "download", "fit", "whole", "next"])
    $(id).disabled = !row;
  $("save").disabled = $("accept").disabled = !row || !server?.folder;
  $("remove").hidden = !row?.inbox;
  $("facts").replaceChildren();
  if (!row) {
    $("marks").setAttribute("aria-label", "No film is open");
    $("dice").textContent = "";
    return;
  }
  $("undo").disabled = !mask.done.length;
  $("redo").disabled = !mask.undone.length;
  $("level").value = editor.level;
  $("level-out").textContent = (editor.level / 256).toFixed(2);
  const area = mask.area();
  const spacing = row.spacing_mm;
  const kind = { calibrated: "in the patient", detector: "on the detector", uncalibrated: "uncalibrated" };
  const facts = {
    Name: row.name,
    Size: `${row.width} × ${row.height} px`,
    Pixel: spacing ? `${spacing[0].toFixed(3)} mm ${kind[row.spacing_kind] ?? ""}` : "size unknown",
    Bone: `${area.toLocaleString()} px` + (spacing ? `, ${((area * spacing[0] * spacing[1]) / 100).toFixed(1)} cm²` : ""),
    Trust: row.trust === null ? "–" : row.trust.toFixed(3),
    State: editor.dirty ? `${row.state}, with changes` : row.state,
  };
  for (const [term, value] of Object.entries(facts)) {
    const [dt, dd] = [document.createElement("dt"), document.createElement("dd")];
    dt.textContent = term;
    dd.textContent = value;
    $("facts").append(dt, dd);
  }
  $("marks").setAttribute(
    "aria-label",
    `${row.name}, ${row.width} by ${row.height} pixels, ${((100 * area) / mask.values.length).toFixed(1)} percent bone, ${row.state}`,
  );
  showGrey();
  showDice();
}

function showGrey() {
  const { centre, width } = view.window;
  $("contrast").value = Math.round(-100 * Math.log2(width));
  $("contrast-out").textContent = `× ${(1 / width).toFixed(2)}`;
  $("brightness").value = Math.round(100 * (1 - 2 * centre));
  $("brightness-out").textContent = Math.round(100 * (1 - 2 * centre));
}

function showDice() {
  const compare = view.show.compare;
  $("legend").hidden = !compare;
  const dice = compare ? editor.dice() : null;
  $("dice").textContent = dice === null ? (compare ? "Nothing is saved to compare with" : "") : `Dice ${dice.toFixed(4)}`;
}

function showLayers() {
  Object.assign(view.show, {
    mask: $("show-mask").checked,
    outline: $("show-outline").checked,
    probability: $("show-probability").checked,
    compare: $("show-compare").checked,
    opacity: $("opacity").value / 100,
  });
  $("opacity-out").textContent = `${$("opacity").value} %`;
  if (view.window.invert !== $("show-invert").checked) {
    view.window.invert = $("show-invert").checked;
    view.redraw();
  }
  if (editor.row) {
    editor.chooseReference($("reference").value);
    showDice();
  }
  view.relayer();
  const kept = ["show-mask", "show-outline", "show-invert"].map((id) => [id, $(id).checked]);
  localStorage.setItem("layers", JSON.stringify([...kept, ["opacity", $("opacity").value]]));
}

function showTool() {
  for (const button of $("tools").children) button.setAttribute("aria-pressed", String(button.dataset.tool === tools.tool));
  $("size").value = tools.size;
  $("size-out").textContent = `${tools.size} px`;
  localStorage.setItem("brush", tools.size);
}

tools.onmove = (place) => {
  const { film } = view;
  if (!film || !place) {
    $("readout").textContent = "";
    return;
  }
  const [x, y] = place.map(Math.floor);
  const inside = x >= 0 && y >= 0 && x < film.width && y < film.height;
  const at = y * film.width + x;
  const zoom = `${Math.round((100 * view.scale) / view.ratio)} %`;
  $("readout").textContent = inside
    ? `${x}, ${y}  grey ${(film.pixels[at] / 65535).toFixed(3)}  bone ${(view.probability[at] / 256).toFixed(2)}  ${zoom}`
    : zoom;
};

// -- buttons and keys --------------------------------------------------------------------------

const toggle = (id) => () => {
  $(id).checked = !$(id).checked;
  showLayers();
};
const slide = (id, step) => () => {
  if ($(id).disabled) return;
  $(id).value = Number($(id).value) + step;
  $(id).dispatchEvent(new Event("input"));
  $(id).dispatchEvent(new Event("change"));
};
const small = () => Math.max(1, Number($("small").value) || 1);
const withFilm = (what) => () => editor.row && what();
const neighbour = (step) => () => {
  const id = list.neighbour(step);
  if (id) open(id);
};

// [keys as shown, what for, keys as told, what to do]; the help sheet is made of it.
const KEYS = {
  Tools: Object.entries(TOOLS).map(([tool, { key, help }]) => [key.toUpperCase(), help, [key], () => tools.choose(tool)]),
  Mask: [
    ["[  ]", "Smaller or larger brush (Alt + wheel too)", ["["], () => tools.resizeBrush(tools.size / 1.2 - 0.5)],
    [null, null, ["]"], () => tools.resizeBrush(tools.size * 1.2 + 0.5)],
    [",  .", "Lower or higher threshold", [","], slide("level", -3)],
    [null, null, ["."], slide("level", 3)],
    ["D", "Remove islands", ["d"], withFilm(() => editor.removeIslands(small()))],
    ["X", "Fill holes", ["x"], withFilm(() => editor.fillHoles(small()))],
    ["Z  Ctrl Z", "Undo", ["z", "ctrl+z"], withFilm(() => editor.undo())],
    ["Y  Ctrl Y", "Redo", ["y", "ctrl+y", "ctrl+shift+z"], withFilm(() => editor.redo())],
    ["Esc", "Give up what was begun", ["escape"], () => tools.giveUp()],
    ["Backspace", "Take back the polygon's last corner", ["backspace"], () => tools.dropCorner()],
  ],
  Show: [
    ["V", "Mask on or off", ["v"], toggle("show-mask")],
    ["O", "Outline on or off", ["o"], toggle("show-outline")],
    ["R", "Probability map", ["r"], toggle("show-probability")],
    ["C", "Compare", ["c"], toggle("show-compare")],
    ["I", "Invert the film", ["i"], toggle("show-invert")],
    ["J  K", "Less or more fill", ["j"], slide("opacity", -5)],
    [null, null, ["k"], slide("opacity", 5)],
    ["Q", "Window and level as they were", ["q"], () => resetGrey()],
    ["+  −", "Zoom (the wheel, or two fingers)", ["+", "="], () => view.zoom(1.3)],
    [null, null, ["-"], () => view.zoom(1 / 1.3)],
    ["0", "The whole film", ["0"], () => view.fit()],
    ["1 … 4", "One film pixel as 1, 2, 4, 8 of the screen", ["1"], () => view.zoomTo(1)],
    ...[2, 4, 8].map((scale, i) => [null, null, [String(i + 2)], () => view.zoomTo(scale)]),
  ],
  "By keys alone": [
    ["Arrows", "Move the cross a pixel; with Ctrl, farther", [], null],
    ["Enter", "Use the tool at the cross; close the polygon", [], null],
    ["Shift  arrows", "Move the film", [], null],
  ],
  Films: [
    ["S", "Save", ["s", "ctrl+s"], () => !$("save").disabled && save(editor.row?.state === "accepted" ? "accepted" : "corrected")],
    ["A", "Accept, and on to the next", ["a"], () => !$("accept").disabled && save("accepted")],
    ["N", "The film that should teach most", ["n"], () => next()],
    ["PgDn  PgUp", "The next or the previous in the list", ["pagedown"], neighbour(1)],
    [null, null, ["pageup"], neighbour(-1)],
    ["?", "This sheet", ["?"], () => $("help").showModal()],
  ],
};
function resetGrey() {
  view.window.centre = 0.5;
  view.window.width = 1;
  view.redraw();
  showGrey();
}

for (const [tool, { key, name, help }] of Object.entries(TOOLS)) {
  const button = document.createElement("button");
  button.type = "button";
  button.dataset.tool = tool;
  button.title = `${name} (${key.toUpperCase()}): ${help}`;
  button.setAttribute("aria-label", name);
  button.setAttribute("aria-keyshortcuts", key);
  const icon = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  icon.setAttribute("viewBox", "0 0 24 24");
  icon.setAttribute("aria-hidden", "true");
  const path = document.createElementNS("http://www.w3.org/2000/svg", "path");
  path.setAttribute("d", ICONS[tool]);
  icon.append(path);
  const letter = document.createElement("span");
  letter.textContent = key.toUpperCase();
  letter.setAttribute("aria-hidden", "true");
  button.append(icon, letter);
  button.addEventListener("click", () => tools.choose(tool));
  $("tools").append(button);
}
fillSheet(KEYS, $("keys"));
listenToKeys(KEYS, view, tools, $("marks"));

const on = (id, name, act) => $(id).addEventListener(name, act);
on("add", "click", () => $("files").click());
on("empty-add", "click", () => $("files").click());
on("files", "change", () => {
  add($("files").files);
  $("files").value = "";
});
on("accept", "click", () => save("accepted"));
on("save", "click", () => save(editor.row?.state === "accepted" ? "accepted" : "corrected"));
on("undo", "click", () => editor.undo());
on("redo", "click", () => editor.redo());
on("next", "click", () => next());
on("islands", "click", () => editor.removeIslands(small()));
on("holes", "click", () => editor.fillHoles(small()));
on("over", "click", () => editor.startOver());
on("level", "input", () => {
  editor.tryThreshold(Number($("level").value));
  $("level-out").textContent = (editor.level / 256).toFixed(2);
});
on("level", "change", () => editor.setThreshold(Number($("level").value)));
on("size", "input", () => tools.resizeBrush(Number($("size").value)));
for (const id of ["show-mask", "show-outline", "show-probability", "show-invert", "show-compare"]) on(id, "change", showLayers);
on("reference", "change", () => {
  $("show-compare").checked = true;
  showLayers();
});
on("opacity", "input", showLayers);
on("contrast", "input", () => {
  view.window.width = 2 ** (-$("contrast").value / 100);
  view.redraw();
  showGrey();
});
on("brightness", "input", () => {
  view.window.centre = (1 - $("brightness").value / 100) / 2;
  view.redraw();
  showGrey();
});
on("fit", "click", () => view.fit());
on("whole", "click", () => view.zoomTo(1));
on("level-reset", "click", resetGrey);
on("history", "change", () => {
  if ($("history").value) bringBack($("history").value);
});
on("download", "change", () => {
  if ($("download").value) download($("download").value);
  $("download").value = "";
});
on("remove", "click", remove);
on("order", "change", () => {
  list.order = $("order").value;
  list.draw();
});
on("filter", "change", () => {
  list.filter = $("filter").value;
  list.draw();
});
on("train-open", "click", () => trying(() => training.open()));
on("help-open", "click", () => $("help").showModal());
on("list-toggle", "click", () => {
  const open = $("list").classList.toggle("open");
  $("list-toggle").setAttribute("aria-expanded", String(open));
});
on("theme", "click", () => {
  const dark = getComputedStyle(document.documentElement).colorScheme === "dark";
  document.documentElement.dataset.theme = dark ? "light" : "dark";
  localStorage.setItem("theme", document.documentElement.dataset.theme);
});

let dragging = 0;
const hasFiles = (event) => [...(event.dataTransfer?.types ?? [])].includes("Files");
addEventListener("dragenter", (event) => {
  if (!hasFiles(event)) return;
  dragging++;
  $("drop").hidden = false;
});
addEventListener("dragleave", (event) => {
  if (!hasFiles(event)) return;
  dragging = Math.max(0, dragging - 1);
  $("drop").hidden = dragging === 0;
});
addEventListener("dragover", (event) => hasFiles(event) && event.preventDefault());
addEventListener("drop", (event) => {
  event.preventDefault();
  dragging = 0;
  $("drop").hidden = true;
  if (event.dataTransfer.files.length) add(event.dataTransfer.files);
});
addEventListener("beforeunload", (event) => {
  if (!editor.dirty || editor.draftAt === editor.mask.changes) return;
  editor.keepDraft();
  event.preventDefault();
});
document.addEventListener("visibilitychange", () => (document.hidden ? editor.keepDraft() : refresh()));
new ResizeObserver(() => view.resize()).observe($("stage"));

// -- the start ---------------------------------------------------------------------------------

for (const [id, value] of JSON.parse(localStorage.getItem("layers") ?? "[]")) {
  if (typeof value === "boolean") $(id).checked = value;
  else $(id).value = value;
}
if (!localStorage.getItem("layers")) $("opacity").value = 30;
tools.size = Number(localStorage.getItem("brush")) || 12;
editor.onchange = show;
tools.onchange = showTool;
tools.choose("brush");
const FORMS = {
  mask: "mask, PNG",
  overlay: "overlay, PNG",
  probability: "probability, PNG",
  "dicom-seg": "DICOM Segmentation",
  nrrd: "3D Slicer, .seg.nrrd",
  nifti: "NIfTI",
  coco: "COCO, run lengths",
  "coco-polygons": "COCO, polygons",
  labelme: "LabelMe",
  cvat: "CVAT",
  "label-studio": "Label Studio",
  yolo: "YOLO",
  measurements: "measurements, CSV",
};
for (const [form, name] of Object.entries(FORMS)) $("download").append(new Option(name, form));
showLayers();
show();
await refresh(true);
const before = list.rows.find((row) => row.id === localStorage.getItem("film"));
for (const row of [before, ...list.sorted()].filter(Boolean).slice(0, 6)) {
  if (!editor.row && !row.error) await open(row.id); // the next one, where that cannot be read
}
setInterval(refresh, EVERY);

// For tests and the curious: what the page is made of.
window.lightbox = { editor, view, tools, list, training };
