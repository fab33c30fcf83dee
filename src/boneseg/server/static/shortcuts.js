// The table of keyboard shortcuts, from which the help sheet is built; see keys.js.

import { TOOLS } from "./tools.js";

// Rows of [keys as shown, description, KeyboardEvent keys, action] by group.
// actions: {undo, redo, save, accept, next, neighbour, help}
export function shortcuts({ editor, view, tools, panel, actions }) {
  const toggle = (id) => () => panel.toggle(id);
  const slide = (id, step) => () => panel.slide(id, step);
  const withFilm = (what) => () => editor.row && what();
  const enabled = (id, what) => () => !document.getElementById(id).disabled && what();
  return {
    Tools: Object.entries(TOOLS).map(([tool, { key, name, help }]) => [key.toUpperCase(), `${name}. ${help}`, [key], () => tools.choose(tool)]),
    Mask: [
      ["[  ]", "Smaller or larger brush (Alt + wheel too)", ["["], () => tools.resizeBrush(tools.size / 1.2 - 0.5)],
      [null, null, ["]"], () => tools.resizeBrush(tools.size * 1.2 + 0.5)],
      [",  .", "Lower or higher threshold", [","], slide("level", -3)],
      [null, null, ["."], slide("level", 3)],
      ["D", "Remove islands", ["d"], withFilm(() => editor.removeIslands(panel.small))],
      ["X", "Fill holes", ["x"], withFilm(() => editor.fillHoles(panel.small))],
      ["Z  Ctrl Z", "Undo; a measure while measuring", ["z", "ctrl+z"], withFilm(actions.undo)],
      ["Y  Ctrl Y", "Redo", ["y", "ctrl+y", "ctrl+shift+z"], withFilm(actions.redo)],
      ["Esc", "Cancel the current action", ["escape"], () => tools.cancel()],
      ["Backspace", "Remove the polygon's last corner", ["backspace"], () => tools.dropCorner()],
    ],
    Show: [
      ["V", "Toggle mask", ["v"], toggle("show-mask")],
      ["O", "Toggle outline", ["o"], toggle("show-outline")],
      ["R", "Probability map", ["r"], toggle("show-probability")],
      ["C", "Compare", ["c"], toggle("show-compare")],
      ["I", "Invert the film", ["i"], toggle("show-invert")],
      ["J  K", "Lower or higher mask opacity", ["j"], slide("opacity", -5)],
      [null, null, ["k"], slide("opacity", 5)],
      ["Q", "Reset window and level", ["q"], () => panel.resetGrey()],
      ["+  −", "Zoom (the wheel, or two fingers)", ["+", "="], () => view.zoom(1.3)],
      [null, null, ["-"], () => view.zoom(1 / 1.3)],
      ["0", "Fit the film", ["0"], () => view.fit()],
      ["1 … 4", "Zoom to 1, 2, 4 or 8 screen pixels per film pixel", ["1"], () => view.zoomTo(1)],
      ...[2, 4, 8].map((scale, i) => [null, null, [String(i + 2)], () => view.zoomTo(scale)]),
    ],
    "Keyboard drawing": [
      ["Arrows", "Move the crosshair by a pixel; with Ctrl, farther", [], null],
      ["Enter", "Use the tool at the crosshair; close the polygon", [], null],
      ["Shift  arrows", "Pan the film", [], null],
    ],
    Films: [
      ["S", "Save", ["s", "ctrl+s"], enabled("save", actions.save)],
      ["A", "Accept and open the next", ["a"], enabled("accept", actions.accept)],
      ["N", "Open the film that teaches the model most", ["n"], actions.next],
      ["PgDn  PgUp", "Next or previous film in the list", ["pagedown"], actions.neighbour(1)],
      [null, null, ["pageup"], actions.neighbour(-1)],
      ["?", "Show this help", ["?"], () => actions.help()],
    ],
  };
}
