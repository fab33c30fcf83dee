// The page's entry point: opening, leaving, saving and adding films.

import * as api from "./api.js";
import { Bones } from "./bones.js";
import { keepFile, listenToFormats, offerFormats } from "./downloads.js";
import { listenToDrops } from "./drop.js";
import { Editor } from "./editor.js";
import { Filters } from "./filters.js";
import { fillSheet, listenToKeys } from "./keys.js";
import { FilmList } from "./list.js";
import { Measures } from "./measures.js";
import { Panel } from "./panel.js";
import { changeName, readerName, signedName } from "./reader.js";
import { notify, attempt } from "./notify.js";
import { shortcuts } from "./shortcuts.js";
import { fillToolbar } from "./toolbar.js";
import { TOOLS, Tools } from "./tools.js";
import { Training } from "./train.js";
import { Versions } from "./versions.js";
import { View } from "./view.js";

const $ = (id) => document.getElementById(id);
const EVERY = 1500; // ms between polls of the server

const view = new View($("film"), $("marks"));
const editor = new Editor(view, notify);
const measures = new Measures(editor, view, notify, $("measures"));
const tools = new Tools(editor, view, $("marks"), measures);
const panel = new Panel(editor, view, tools);
const bones = new Bones(editor, view, notify);
tools.namedAt = (x, y) => bones.at(x, y);
const list = new FilmList($("films"), $("count"), open);
const filters = new Filters(list);
const versions = new Versions($("history"), editor);
const training = new Training($("train"), notify, () => refresh(true));
let server = null; // the last response of /api/health
let version = null; // of the list of films
let formats = []; // of downloads

// -- films -------------------------------------------------------------------------------------

let wanted = null; // the film requested last; an earlier one may still be loading

// For a page without changes of its own: a draft on the server is from another tab.
const openAgain = (id) => open(id, true);

async function open(id, again = false) {
  wanted = id;
  if (id === editor.row?.id && !again) {
    stay();
    return;
  }
  $("busy").hidden = false;
  $("empty").hidden = true;
  list.mark(id);
  $("list").classList.remove("open");
  const film = await attempt(() => editor.load(id, !again));
  // The previous film could be edited until here; its changes are saved with it.
  if (film && wanted === id && (await leave()) && wanted === id) {
    tools.cancel();
    editor.show(film);
    localStorage.setItem("film", id);
    list.replace(editor.row);
    panel.opened();
    offerFormats($("download"), formats, editor.row.dicom);
    measures.open(editor.row);
    versions.show();
    $("marks").focus({ preventScroll: true });
  }
  if (wanted === id) stay();
}

// Keep the current film open and cancel any other that is loading.
function stay() {
  editor.loading?.abort();
  list.mark(editor.row?.id ?? null);
  $("busy").hidden = true;
  panel.show();
}

// Save the changes to the film being left as corrected, or as a draft where there is no data folder.
// False: stay.
async function leave() {
  tools.settle();
  while (server?.folder ? editor.dirty : !editor.kept) {
    if (!(await (server?.folder ? saveLeft() : editor.keepDraft()))) return false;
    tools.settle(); // changes made during the request
  }
  return true;
}

async function saveLeft() {
  const { id, name } = editor.row;
  if (!list.rows.some((row) => row.id === id)) {
    if (!confirm(`${name}: was removed, so your changes cannot be saved. Discard them?`)) return false;
    editor.close();
    return true;
  }
  const saved = await attempt(() => editor.save("corrected", readerName(), conflict));
  if (!saved) return false;
  list.replace(saved);
  notify(`${saved.name}: saved as corrected`, "good");
  return true;
}

let saving = false;

// onward: open the next film to do afterwards.
async function save(state, onward = false) {
  if (!editor.row || saving) return;
  saving = true;
  try {
    const by = state === "accepted" ? await signedName($("reader"), ask) : readerName();
    const saved = by === null ? null : await editor.save(state, by, conflict);
    if (!saved) return;
    list.replace(saved);
    notify(`${saved.name}: ${state === "accepted" ? "accepted" : "saved as corrected"}`, "good");
    versions.show();
    if (onward) await openNext();
  } catch (error) {
    notify(error.message, "error");
  } finally {
    saving = false;
  }
}

// Saving an accepted film again keeps it accepted.
const saveAsItIs = () => save(editor.row?.state === "accepted" ? "accepted" : "corrected");

// The next film to do, in the order of the list.
async function openNext() {
  const id = list.nextToDo();
  if (id) await open(id);
  else notify("Every segmented film in the list has a saved mask", "good");
}

// The film whose correction the model would learn most from.
async function openMostInformative() {
  await refresh(true);
  const rows = list.rows.filter((row) => row.state === "suggested" && row.id !== editor.row?.id);
  rows.sort((a, b) => (a.place ?? 1e9) - (b.place ?? 1e9));
  if (rows.length) await open(rows[0].id);
  else notify("Every segmented film has a saved mask", "good");
}

// The mask was saved elsewhere in the meantime: ask what to do.
async function conflict(error, state, by) {
  $("conflict-why").textContent = error.message;
  const choice = await ask($("conflict"));
  if (!choice) return null;
  const theirs = await editor.seeTheirs();
  if (choice === "mine") return editor.save(state, by, conflict);
  if (choice === "theirs") editor.replaceBy(theirs, "use theirs");
  panel.compare("saved");
  notify(choice === "theirs" ? "Undo restores yours" : "Blue is theirs, orange is yours; save when done", "info");
  return null;
}

function ask(dialog) {
  dialog.returnValue = "";
  dialog.showModal();
  return new Promise((done) => dialog.addEventListener("close", () => done(dialog.returnValue), { once: true }));
}

async function add(files) {
  const added = [];
  $("busy").hidden = false;
  for (const file of [...files]) { // a copy: the field is cleared meanwhile
    const row = await attempt(() => api.addFilm(file, server?.upload_bytes));
    if (!row) continue;
    list.replace(row);
    added.push(row);
  }
  $("busy").hidden = true;
  if (added.length > 1) notify(`${added.length} films added`, "good");
  if (added.length) await open(added.at(-1).id);
}

async function remove() {
  const { id, name } = editor.row;
  if (editor.dirty && (await ask($("discard"))) !== "remove") return;
  if (!(await attempt(() => api.removeFilm(id)))) return;
  editor.close();
  measures.open(null);
  notify(`${name}: removed`, "good");
  refresh(true);
}

async function download(form) {
  const { id } = editor.row;
  if (!(await leave())) return;
  const file = await attempt(() => api.download(id, form));
  if (file) keepFile(file);
}

async function exportAccepted(form) {
  if (!(await leave())) return;
  notify("Exporting every accepted mask…", "info");
  const archive = await attempt(() => api.exported(form));
  if (!archive) return;
  keepFile(archive);
  const films = archive.failed === 1 ? "1 film" : `${archive.failed} films`;
  if (archive.failed) notify(`${films} not exported: the archive says why, in not-exported.txt`, "error");
  else notify("Every accepted mask is exported", "good");
}

// -- following the server ----------------------------------------------------------------------

let refreshing = false;
let lastError = null; // of the server, null after a success

async function refresh(force = false) {
  if (refreshing || (document.hidden && !force && !editor.dirty)) return;
  refreshing = true;
  try {
    const health = await api.health();
    const old = server;
    server = health;
    bones.offer(health.model);
    if (old?.model.digest !== health.model.digest || old.folder !== health.folder) showServer();
    if (old && old.model.digest !== health.model.digest) newModel();
    if (force || health.version !== version) await refreshFilms();
    if ($("train").open || (training.run?.state === "running" && health.training !== "running")) {
      const before = training.run?.state;
      const run = await training.refresh();
      if (before === "running" && run?.state === "done" && !$("train").open)
        notify("Training has finished: see Retrain…", "good");
    }
    if (health.training === "interrupted" && old?.training !== "interrupted" && !$("train").open)
      notify("Training was interrupted: see Retrain…", "error");
    $("train-open").classList.toggle("primary", health.training === "running");
    $("train-open").textContent = health.training === "running" ? "Training…" : "Retrain…";
    if (lastError && !editor.kept) editor.keepDraft(); // changes made while the server was unreachable
    if (lastError) measures.save();
    lastError = null;
  } catch (error) {
    if (error.message !== lastError) notify(error.message, "error"); // not at every poll
    lastError = error.message;
  } finally {
    refreshing = false;
  }
}

let reported = null; // the last revision from another tab that was reported

async function refreshFilms() {
  const { row: shown, writing } = editor;
  const calibration = calibrationOf(shown);
  const { films, version: now } = await api.films();
  const known = list.rows.find((row) => row.id === shown?.id);
  version = now;
  list.update(films);
  filters.showParts();
  if (!known || editor.row !== shown) return;
  const row = films.find(({ id }) => id === shown.id);
  if (!row) return notify(`${shown.name}: the film was removed from the folder`, "error");
  if (calibration === calibrationOf(shown)) followCalibration(row); // else this page has just changed it
  if (row.revision === shown.revision || row.revision === reported) return;
  if (writing || editor.writing) version = null; // it may be our own: check again
  else {
    reported = row.revision;
    savedElsewhere(shown);
  }
}

const calibrationOf = (row) => JSON.stringify([row?.spacing_mm, row?.spacing_kind, row?.calibration, row?.calibration_error]);

// The table may have been edited by hand, or from another tab.
function followCalibration(row) {
  if (row.spacing_kind === null || calibrationOf(row) === calibrationOf(editor.row)) return; // null: not segmented yet
  measures.oncalibrated(row);
  measures.show();
  const wrong = row.calibration_error;
  notify(wrong ?? `${row.name}: its calibration has changed, and its measures with it`, wrong ? "error" : "info");
}

function savedElsewhere({ id, name }) {
  if (!editor.dirty) {
    openAgain(id);
    return;
  }
  editor.keepDraftAgain();
  notify(`${name}: was saved elsewhere after you opened it; your changes are kept, save to compare both`, "error");
}

// The suggestion shown is the old model's: reload the film unless it has unsaved changes.
function newModel() {
  if (!editor.row) return;
  if (editor.dirty) notify("Reopen the film to see the new model's suggestion", "info");
  else openAgain(editor.row.id);
}

function showServer() {
  panel.keeps = server.folder !== null;
  $("folder").textContent = server.folder ?? "Nothing is saved: this light box has no data folder";
  $("folder").classList.toggle("warn", !panel.keeps);
  $("train-open").hidden = !panel.keeps;
  $("model").textContent = `model: ${server.model.name}`;
  $("model").title = `its card begins with SHA-256 ${server.model.digest}`;
  panel.show();
}

// -- buttons and keys --------------------------------------------------------------------------

const neighbour = (step) => () => {
  const id = list.neighbour(step);
  if (id) open(id);
};
const help = () => $("help").showModal();
const [undo, redo] = [() => tools.undoable.undo(), () => tools.undoable.redo()];
const actions = { undo, redo, save: saveAsItIs, accept: () => save("accepted", true), next: openMostInformative, neighbour, help };
const KEYS = shortcuts({ editor, view, tools, panel, actions });

const on = (id, name, act) => $(id).addEventListener(name, act);
const BUTTONS = {
  add: () => $("files").click(),
  "empty-add": () => $("files").click(),
  accept: actions.accept,
  save: saveAsItIs,
  undo: actions.undo,
  redo: actions.redo,
  teaches: openMostInformative,
  previous: neighbour(-1),
  following: neighbour(1),
  islands: () => editor.removeIslands(panel.small),
  holes: () => editor.fillHoles(panel.small),
  smooth: () => editor.smooth(panel.step + 1),
  grow: () => editor.grow(panel.step),
  shrink: () => editor.shrink(panel.step),
  over: () => editor.startOver(),
  fit: () => view.fit(),
  whole: () => view.zoomTo(1),
  "level-reset": () => panel.resetGrey(),
  remove,
  "train-open": () => attempt(() => training.open()),
  "help-open": help,
  "list-toggle": () => $("list-toggle").setAttribute("aria-expanded", String($("list").classList.toggle("open"))),
  theme: () => {
    const { dataset } = document.documentElement;
    const dark = (dataset.theme ?? (matchMedia("(prefers-color-scheme: dark)").matches && "dark")) === "dark";
    dataset.theme = dark ? "light" : "dark";
    localStorage.setItem("theme", dataset.theme);
  },
};
for (const [id, act] of Object.entries(BUTTONS)) on(id, "click", () => act());
on("files", "change", () => {
  add($("files").files);
  $("files").value = "";
});
on("reader-change", "click", () => changeName($("reader"), ask));
addEventListener("beforeunload", (event) => {
  if (editor.kept && measures.kept) return;
  measures.save();
  if (!editor.kept) editor.keepDraft();
  event.preventDefault();
});
document.addEventListener("visibilitychange", () => (document.hidden ? editor.keepDraft() : refresh()));
new ResizeObserver(() => view.resize()).observe($("stage"));

// -- the start ---------------------------------------------------------------------------------

fillToolbar($("tools"), (tool) => {
  tools.choose(tool);
  notify(`${TOOLS[tool].name}: ${TOOLS[tool].help}`, "quiet"); // touch has no tooltips
});
fillSheet(KEYS, $("keys"));
listenToKeys(KEYS, view, tools, $("marks"));
listenToDrops($("drop"), add);
listenToFormats($("download"), download);
listenToFormats($("export"), exportAccepted);
formats = (await attempt(api.formats)) ?? [];
offerFormats($("export"), formats);
tools.choose("brush");
measures.onchange = () => {
  tools.drawMarks();
  panel.showUndo();
};
measures.onchosen = () => tools.choose("measure");
// Only what the calibration changes: the revision stays that of the mask shown. If another film was opened
// meanwhile, the next refresh of the list brings it.
measures.oncalibrated = ({ id, spacing_mm, spacing_kind, area_mm2, calibration, calibration_error }) => {
  if (editor.row?.id !== id) return;
  list.replace(Object.assign(editor.row, { spacing_mm, spacing_kind, area_mm2, calibration, calibration_error }));
  panel.show();
};
panel.showLayers();
panel.show();
await refresh(true);
const before = list.rows.find((row) => row.id === localStorage.getItem("film"));
for (const row of [before, ...list.sorted()].filter(Boolean).slice(0, 6)) {
  if (!editor.row && !row.error) await open(row.id); // skip films that cannot be read
}
setInterval(refresh, EVERY);

// For tests and debugging.
window.lightbox = { editor, view, tools, measures, list, training };
