"""Tubes for ray tracing from a few measurements of a bone."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from boneseg.simulate.projector import Bump, Tube

Rng = np.random.Generator
Point = tuple[float, float]
Width = tuple[float, float] | tuple[float, float, float]  # share of length, left[, right] in mm


def _cap(distance: NDArray[np.float64], radius: float, power: float) -> NDArray[np.float64]:
    """Share of the width left at `distance` from an end which is rounded over `radius`."""
    rest = 1.0 - np.clip(distance / max(radius, 1e-3), 0.0, 1.0)
    return np.asarray((1.0 - rest**power) ** (1.0 / power))


def _curve(points: Sequence[float], at: NDArray[np.float64]) -> NDArray[np.float64]:
    """Evenly spaced values joined by straight lines."""
    return np.interp(at, np.linspace(0, 1, len(points)), points)


def _smooth(
    at: NDArray[np.float64], values: NDArray[np.float64], wanted: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Monotone cubic through (`at`, columns of `values`): it never bulges past its knots.

    Slopes are harmonic means (Fritsch & Butland 1984), level at both ends.
    """
    step = np.diff(at)[:, None]
    rise = np.diff(values, axis=0) / step
    product = rise[:-1] * rise[1:]
    total = rise[:-1] + rise[1:]
    slope = np.zeros_like(values)
    slope[1:-1] = np.where(product > 0, 2 * product / np.where(product > 0, total, 1.0), 0.0)
    k = np.clip(np.searchsorted(at, wanted, side="right") - 1, 0, len(at) - 2)
    h, t = step[k], ((wanted - at[k]) / step[k, 0])[:, None]
    bend = t * (1 - t)
    chord = values[k] + (values[k + 1] - values[k]) * t * t * (3 - 2 * t)
    return np.asarray(chord + h * bend * ((1 - t) * slope[k] - t * slope[k + 1]))


def tube(
    rng: Rng,
    start: Point,
    end: Point,
    widths: Sequence[Width],
    *,
    depth: Sequence[float] = (1.0,),
    shell: Sequence[float] = (1.0,),
    core: Sequence[float] = (0.2,),
    caps: tuple[tuple[float, float] | None, tuple[float, float] | None] = ((4, 2.5), (4, 2.5)),
    near: tuple[Bump, ...] = (),
    far: tuple[Bump, ...] = (),
    plates: Sequence[float] = (),
    scars: Sequence[float] = (),
    bow: float = 0.0,
    wobble: float = 0.025,
    reach: float = 12.0,
) -> Tube:
    """A tube from `start` to `end` through `widths` (half-widths, mm).

    `depth` (half-depth : half-width), `shell` (mm) and `core` (0-1) are values spread evenly
    from end to end. `caps` are (radius mm, power): 2 is round, 6 blunt, None an open end.
    `plates` are distances (mm) of growth plates, `scars` those of closed ones.
    """
    (x0, y0), (x1, y1) = start, end
    length = float(np.hypot(x1 - x0, y1 - y0))
    count = int(np.clip(length * 2, 96, 700))
    share = np.linspace(0.0, 1.0, count)
    knots = np.array([(w[0], w[1], w[-1]) for w in widths])
    left, right = _smooth(knots[:, 0], knots[:, 1:], share).T
    waves = rng.normal(0, 1, (2, 4)) / np.arange(1, 5)
    phases = np.outer(share, np.arange(1, 5)) * 2 * np.pi + rng.uniform(0, 6.3, 4)
    left = left * (1 + wobble * np.sin(phases) @ waves[0])
    right = right * (1 + wobble * np.cos(phases) @ waves[1])

    distance = share * length
    cut = np.min([np.abs(distance - p) - 0.9 for p in plates] or [np.full(count, 1e9)], axis=0)
    rim = _curve(shell, share)

    def shrink(inset: float) -> NDArray[np.float64]:
        factor = np.ones(count)
        for cap, d in zip(caps, (distance, length - distance), strict=True):
            if cap is not None:
                factor *= _cap(d - inset, *cap)
        return factor * _cap(cut - inset * 0.6, 1.2, 3.0)

    half = (left + right) / 2
    deep = half * _curve(depth, share)
    ends = min(float(rim[0]), float(rim[-1]))
    outer, inner = shrink(0.0), shrink(ends)
    density = _curve(core, share)
    for scar in scars:
        density = density + 0.1 * np.exp(-np.square((distance - scar) / 1.2))
    offset = bow * np.sin(np.pi * share) + (right - left) / 2
    rows = np.stack(
        [
            offset,
            half * outer,
            deep * outer,
            np.maximum(half - rim, 0.05) * inner,
            np.maximum(deep - rim, 0.05) * inner,
            density,
        ],
        axis=1,
    )
    angle = float(np.arctan2(x1 - x0, y1 - y0))
    return Tube(start, angle, length, rows.astype(np.float32), near, far, reach)
