"""Small charts as inline SVG, styled by the page's style sheet.

Unlike raster images they follow the page's light or dark scheme and scale to any screen.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

WIDTH, HEIGHT = 400, 240
LEFT, RIGHT, TOP, BOTTOM = 50, 14, 18, 40  # margins, px

Point = tuple[float, float]


@dataclass(frozen=True)
class Axis:
    """A range of values that starts and ends at a tick."""

    ticks: tuple[float, ...]
    log: bool = False

    def share(self, value: float) -> float:
        """The position of a value, from 0 at the first tick to 1 at the last."""
        low, high = self.ticks[0], self.ticks[-1]
        if self.log:
            low, high, value = math.log(low), math.log(high), math.log(max(value, low))
        return min(max((value - low) / (high - low), 0.0), 1.0)


def linear(high: float) -> Axis:
    """An axis from 0 to at least `high`, in about five steps of 1, 2 or 5 times 10^k."""
    high = high if high > 0 else 1.0
    power = 10.0 ** math.floor(math.log10(high / 5))
    step = next(power * digit for digit in (1, 2, 5, 10) if power * digit >= high / 5.001)
    return Axis(tuple(index * step for index in range(math.ceil(high / step - 1e-9) + 1)))


def spanning(values: Sequence[float]) -> Axis:
    """An axis around the values, not necessarily from 0, in a few steps of 1, 2 or 5 times 10^k."""
    low, high = min(values), max(values)
    room = max(high - low, 0.02 * abs(high), 1e-6)
    step = linear(room).ticks[1]
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    count = max(last, first + 1)
    return Axis(tuple(round(index * step, 12) for index in range(first, count + 1)))


def logarithmic(values: Sequence[float]) -> Axis:
    """A log axis around the positive values: ticks at 1, 2, 5 times 10^k, or only 10^k."""
    known = [value for value in values if 0 < value < math.inf] or [1.0]
    low, high = math.floor(math.log10(min(known))), math.ceil(math.log10(max(known)))
    if high - low > 3:
        return Axis(tuple(10.0**power for power in range(low, high + 1)), log=True)
    ticks = [digit * 10.0**power for power in range(low, high + 1) for digit in (1, 2, 5)]
    first = max(i for i, tick in enumerate(ticks) if tick <= min(known) * (1 + 1e-9))
    last = min(i for i, tick in enumerate(ticks) if tick >= max(known) * (1 - 1e-9))
    return Axis(tuple(ticks[first : max(last, first + 1) + 1]), log=True)


def curve(
    label: str,
    across: Axis,
    up: Axis,
    lines: Sequence[Sequence[Point]],
    *,
    unit: str,
    marks: Sequence[tuple[float, str]] = (),
    best: Point | None = None,
) -> str:
    """Lines over time, the last in full colour; a mark is a labelled dashed vertical line.

    Non-finite values are omitted. `label` and `unit` are markup.
    """
    parts = []
    for row, (at, word) in enumerate(marks):
        x = _x(across.share(at))
        side = "end" if across.share(at) > 0.5 else "start"
        shift = -4 if side == "end" else 4
        parts.append(f'<path class="mark" d="M{x:.1f} {TOP}V{HEIGHT - BOTTOM}"/>')
        parts.append(_text(x + shift, TOP + 10 + 14 * row, word, side))
    for index, line in enumerate(lines):
        points = [(_x(across.share(x)), _y(up.share(y))) for x, y in line if math.isfinite(y)]
        drawn = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        kind = "line" if index == len(lines) - 1 else "line old"
        parts.append(f'<polyline class="{kind}" points="{drawn}"/>')
        parts += [_dot(*points[0], "dot")] if len(points) == 1 else []
    if best is not None:
        parts.append(_dot(_x(across.share(best[0])), _y(up.share(best[1])), "dot best"))
    return _frame(label, across, up, unit, "".join(parts))


def histogram(label: str, values: Sequence[float], *, unit: str) -> str:
    """A histogram of 20 equal bins, from the lowest value rounded down to a tenth, to 1.

    The values lie in [0, 1]; a value on the edge of two bins counts in the upper one.
    """
    low = min(math.floor(min(values) * 10) / 10, 0.9)
    across = Axis(tuple(low + (1 - low) * index / 5 for index in range(6)))
    return bars(label, across, values, unit=unit)


def bars(label: str, across: Axis, values: Sequence[float], *, unit: str) -> str:
    """A histogram of 20 equal bins of an axis; values outside it count in the last bin."""
    counts = [0] * 20
    for value in values:
        counts[min(int(across.share(value) * 20 + 1e-9), 19)] += 1
    up = linear(max(*counts, 5))
    drawn = ""
    for index, count in enumerate(counts):
        x, y, step = _x(index / 20), _y(up.share(count)), (WIDTH - LEFT - RIGHT) / 20
        height = HEIGHT - BOTTOM - y
        drawn += f'<rect class="bar" x="{x + 1:.1f}" y="{y:.1f}" '
        drawn += f'width="{step - 2:.1f}" height="{height:.1f}"/>'
    return _frame(label, across, up, unit, drawn)


def scatter(
    label: str,
    across: Axis,
    up: Axis,
    points: Sequence[Point],
    *,
    unit: str,
    names: Sequence[str] = (),
) -> str:
    """A scatter plot; `names`, if any, label the points (markup)."""
    dots = "".join(_dot(_x(across.share(x)), _y(up.share(y)), "dot faint") for x, y in points)
    for (x, y), name in zip(points, names, strict=False):
        at, side = across.share(x), "end" if across.share(x) > 0.9 else "start"
        dots += _text(_x(at) + (-7 if side == "end" else 7), _y(up.share(y)) + 4, name, side)
    return _frame(label, across, up, unit, dots)


def _frame(label: str, across: Axis, up: Axis, unit: str, inside: str) -> str:
    """The axes with their ticks, around the content `inside`."""
    parts = []
    for tick in up.ticks:
        y = _y(up.share(tick))
        parts.append(f'<path class="grid" d="M{LEFT} {y:.1f}H{WIDTH - RIGHT}"/>')
        parts.append(_text(LEFT - 6, y + 4, f"{tick:.4g}", "end"))
    for tick in across.ticks:
        parts.append(_text(_x(across.share(tick)), HEIGHT - BOTTOM + 16, f"{tick:.4g}", "middle"))
    parts.append(_text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 6, unit, "middle"))
    return (
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{label}">'
        f"{''.join(parts)}{inside}</svg>"
    )


def _x(share: float) -> float:
    return LEFT + share * (WIDTH - LEFT - RIGHT)


def _y(share: float) -> float:
    return HEIGHT - BOTTOM - share * (HEIGHT - TOP - BOTTOM)


def _dot(x: float, y: float, kind: str) -> str:
    return f'<circle class="{kind}" cx="{x:.1f}" cy="{y:.1f}" r="4"/>'


def _text(x: float, y: float, words: str, anchor: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{words}</text>'
