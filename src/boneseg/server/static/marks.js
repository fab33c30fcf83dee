// What the tools draw over the film: the brush outline, the polygon, the measures and the crosshair.

export const UNDER = "#000a"; // a dark edge keeps white lines visible on bone

// tools: {tool, size, cursor, byKeys, points, shape, action, measures}
export function drawMarks(tools, view) {
  const context = view.marks.getContext("2d");
  context.clearRect(0, 0, view.marks.width, view.marks.height);
  if (!view.film) return;
  if (tools.points.length) polygonOf(tools, view, context);
  if (tools.shape?.isLast) tools.shape.drawOn(context);
  tools.measures.draw(context, view, tools.tool === "measure" ? tools.cursor : null);
  if (!tools.cursor) return;
  if (tools.tool === "brush" || tools.tool === "eraser") ring(tools, view, context);
  if (tools.byKeys) crosshair(tools.cursor, view, context);
}

// Stroke a path once for each [width, colour].
export function stroke(context, view, lines, trace) {
  for (const [width, colour] of lines) {
    context.beginPath();
    trace();
    context.lineWidth = width * view.ratio;
    context.strokeStyle = colour;
    context.stroke();
  }
}

export function path(context, view, points, closed = false) {
  points.forEach(([x, y], i) => context[i ? "lineTo" : "moveTo"](...view.toScreen(x, y)));
  if (closed) context.closePath();
}

// A square on each point, `side` screen px wide.
export function handles(context, view, points, side = 5) {
  context.fillStyle = "#fff";
  for (const [x, y] of points) {
    const [sx, sy] = view.toScreen(x, y);
    context.fillRect(sx - (side / 2) * view.ratio, sy - (side / 2) * view.ratio, side * view.ratio, side * view.ratio);
  }
}

function polygonOf({ points, cursor, action }, view, context) {
  const lasso = action?.dragged;
  const drawn = cursor && !lasso ? [...points, cursor] : points;
  stroke(context, view, [[3.2, UNDER], [1.4, "#fff"]], () => path(context, view, drawn));
  handles(context, view, lasso ? points.slice(0, 1) : points);
}

export function label(context, view, text, [x, y]) {
  const { ratio } = view;
  const [sx, sy] = view.toScreen(x, y);
  context.font = `600 ${13 * ratio}px system-ui, sans-serif`;
  const width = context.measureText(text).width;
  const left = Math.min(sx + 12 * ratio, view.marks.width - width - 14 * ratio);
  const top = Math.max(22 * ratio, sy - 12 * ratio);
  context.fillStyle = "#000c";
  context.fillRect(left - 6 * ratio, top - 15 * ratio, width + 12 * ratio, 21 * ratio);
  context.fillStyle = "#fff";
  context.fillText(text, left, top);
}

function ring({ tool, size, cursor: [x, y] }, view, context) {
  const odd = size % 2;
  const middle = odd ? [Math.floor(x) + 0.5, Math.floor(y) + 0.5] : [Math.round(x), Math.round(y)];
  const [sx, sy] = view.toScreen(...middle);
  const radius = Math.max(1.5, (size / 2) * view.scale);
  const colour = tool === "brush" ? "#ffd27a" : "#9bd4ff";
  stroke(context, view, [[3, "#0009"], [1.3, colour]], () => context.arc(sx, sy, radius, 0, 2 * Math.PI));
}

function crosshair([x, y], view, context) {
  const [sx, sy] = view.toScreen(x, y);
  const arm = 9 * view.ratio;
  stroke(context, view, [[3, UNDER], [1.4, "#fff"]], () => {
    context.moveTo(sx - arm, sy);
    context.lineTo(sx + arm, sy);
    context.moveTo(sx, sy - arm);
    context.lineTo(sx, sy + arm);
  });
}
