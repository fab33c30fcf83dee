"""Devices on films of heads and chests: head holders, fillings, tubes, leads, pacemakers."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from boneseg.simulate.projector import Array, Paths
from boneseg.simulate.stamps import stamp

Rng = np.random.Generator
Point = tuple[float, float]
Marks = list[tuple[str, object, float]]


def add_head_devices(rng: Rng, paths: Paths, pitch: float) -> Paths:
    """A cephalostat (ear rods, nose rest, ruler), a wedge for the soft tissue, and fillings."""
    lead = paths.lead.copy()
    if rng.random() < 0.4:
        lead += _cephalostat(rng, paths, pitch)
    if rng.random() < 0.4:
        lead += _wedge(rng, lead.shape)
    if rng.random() < 0.5:
        lead += _fillings(rng, paths, pitch)
    return replace(paths, lead=lead)


def add_chest_devices(rng: Rng, paths: Paths, pitch: float) -> Paths:
    """Tubes, leads with electrodes, a pacemaker or port, and wires of the sternum."""
    lead = paths.lead.copy()
    for chance, device in ((0.15, _tubes), (0.12, _electrodes), (0.06, _pacemaker), (0.04, _wires)):
        if rng.random() < chance:
            lead += device(rng, paths, pitch)
    return replace(paths, lead=lead)


def _middle(paths: Paths) -> tuple[Point, Point]:
    """The centre of the bone (column, row) and its standard deviations; of the film without any."""
    rows, columns = np.nonzero(paths.mask[::4, ::4])
    if not len(rows):
        height, width = paths.lead.shape
        return (width / 2, height / 2), (width / 4, height / 4)
    centre = (4.0 * float(columns.mean()), 4.0 * float(rows.mean()))
    return centre, (4.0 * float(columns.std()) + 1, 4.0 * float(rows.std()) + 1)


def _cephalostat(rng: Rng, paths: Paths, pitch: float) -> Array:
    """One or two rings at the ears, and a bent bar with a ruler beside the face."""
    shape = (paths.lead.shape[0], paths.lead.shape[1])
    (x, y), (wide, tall) = _middle(paths)
    marks: Marks = []
    for _ in range(int(rng.integers(1, 3))):
        radius = float(rng.uniform(3, 9)) / pitch
        u, v = x + float(rng.normal(0, 0.5)) * wide, y + float(rng.normal(0, 0.3)) * tall
        marks.append(("ring", [u - radius, v - radius, u + radius, v + radius], radius / 2.5))
        if rng.random() < 0.6:
            dot = radius / 4
            marks.append(("disc", [u - dot, v - dot, u + dot, v + dot], 0))
    rods = stamp(shape, marks) * np.float32(rng.uniform(0.1, 0.8))
    side = -1 if rng.random() < 0.5 else 1
    u = x + side * float(rng.uniform(1.2, 2.6)) * wide
    v = y - float(rng.uniform(0.0, 1.2)) * tall
    bend = (u + side * float(rng.uniform(5, 25)) / pitch, v - float(rng.uniform(10, 40)) / pitch)
    top = (bend[0] + float(rng.normal(0, 4)) / pitch, -5.0)
    bar = stamp(shape, [("line", [(u, v), bend, top], float(rng.uniform(3, 9)) / pitch)])
    ticks: Marks = []
    for row in np.arange(top[1], bend[1], max(2.0, float(rng.uniform(1, 5)) / pitch)).tolist():
        ticks.append(("line", [(bend[0] - 3 / pitch, row), (bend[0] + 3 / pitch, row)], 1))
    ruler = stamp(shape, ticks) * np.float32(rng.uniform(0.2, 1.5))
    return np.asarray(rods + bar * np.float32(rng.uniform(0.03, 0.4)) + ruler, np.float32)


def _wedge(rng: Rng, shape: tuple[int, ...]) -> Array:
    """A filter over one side of the film, for the soft tissue of the face: stepped or smooth."""
    across = np.linspace(0, 1, shape[1], dtype=np.float32)
    edge, width = float(rng.uniform(0.2, 0.8)), float(rng.choice([0.003, 0.05, 0.15]))
    profile = 1 / (1 + np.exp(-np.clip((across - edge) / width, -40, 40)))
    if rng.random() < 0.5:
        profile = profile[::-1]
    steps = np.repeat(rng.normal(0, 0.03, 12), -(-shape[1] // 12))[: shape[1]]
    column = float(rng.uniform(0.1, 0.8)) * profile + (steps if rng.random() < 0.4 else 0)
    return np.broadcast_to(np.maximum(column, 0), (shape[0], shape[1])).astype(np.float32)


def _fillings(rng: Rng, paths: Paths, pitch: float) -> Array:
    """Fillings and crowns, in a row where there is most bone."""
    shape = (paths.lead.shape[0], paths.lead.shape[1])
    dense = paths.bone[::4, ::4]
    if not (dense > 0).any():
        return np.zeros(shape, np.float32)
    most = dense > np.percentile(dense[dense > 0], 90)
    rows, columns = np.nonzero(most if most.any() else dense > 0)  # all bone may be alike
    index = int(rng.integers(len(rows)))
    x, y = 4.0 * float(columns[index]), 4.0 * float(rows[index])
    marks: Marks = []
    for _ in range(int(rng.integers(1, 9))):
        u, v = x + float(rng.normal(0, 12)) / pitch, y + float(rng.normal(0, 5)) / pitch
        half = rng.uniform(0.8, 4, 2) / pitch
        box = [u - half[0], v - half[1], u + half[0], v + half[1]]
        marks.append(("disc", box, 0))
    return stamp(shape, marks) * np.float32(rng.uniform(0.3, 2))


def _curve(rng: Rng, start: Point, end: Point, bow: float) -> list[Point]:
    """A smooth curve between two points, bowed by normal noise of `bow` px."""
    t = np.linspace(0, 1, 24)
    away = sum(float(rng.normal(0, bow / wave)) * np.sin(math.pi * wave * t) for wave in (1, 2, 3))
    x = start[0] + (end[0] - start[0]) * t + away
    y = start[1] + (end[1] - start[1]) * t
    return list(zip(x.tolist(), y.tolist(), strict=True))


def _tubes(rng: Rng, paths: Paths, pitch: float) -> Array:
    """Tubes and catheters from above, or from a side, with a dense line or walls."""
    shape = (paths.lead.shape[0], paths.lead.shape[1])
    (x, y), (wide, tall) = _middle(paths)
    total = np.zeros(shape, np.float32)
    for _ in range(int(rng.integers(1, 4))):
        start = (x + float(rng.normal(0, 1)) * wide, -5.0)
        if rng.random() < 0.3:
            start = (float(rng.choice([-5.0, shape[1] + 5.0])), y + float(rng.normal(0, 1)) * tall)
        end = (x + float(rng.normal(0, 0.5)) * wide, y + float(rng.normal(0, 0.8)) * tall)
        line = _curve(rng, start, end, 15 / pitch)
        thick = float(rng.uniform(1, 10)) / pitch
        tube = stamp(shape, [("line", line, thick)])
        if thick > 3:  # walls
            tube = np.maximum(tube - 0.7 * stamp(shape, [("line", line, 0.6 * thick)]), 0)
        total += tube * np.float32(rng.uniform(0.02, 0.25))
    return total


def _electrodes(rng: Rng, paths: Paths, pitch: float) -> Array:
    """Discs on the skin, and leads from them to the edge."""
    shape = (paths.lead.shape[0], paths.lead.shape[1])
    marks: Marks = []
    for _ in range(int(rng.integers(1, 6))):
        x, y = float(rng.uniform(0, shape[1])), float(rng.uniform(0, shape[0]))
        radius = float(rng.uniform(2, 9)) / pitch
        box = [x - radius, y - radius, x + radius, y + radius]
        marks.append((str(rng.choice(["disc", "ring"])), box, radius / 3))
        end = (float(rng.uniform(0, shape[1])), float(rng.choice([-5.0, shape[0] + 5.0])))
        marks.append(("line", _curve(rng, (x, y), end, 25 / pitch), max(1.0, 1 / pitch)))
    return stamp(shape, marks) * np.float32(rng.uniform(0.05, 0.6))


def _pacemaker(rng: Rng, paths: Paths, pitch: float) -> Array:
    """A case below a shoulder, with one or two leads to the heart."""
    shape = (paths.lead.shape[0], paths.lead.shape[1])
    (x, y), (wide, tall) = _middle(paths)
    side = -1 if rng.random() < 0.5 else 1
    u, v = x + side * float(rng.uniform(0.8, 1.6)) * wide, y - float(rng.uniform(0.6, 1.3)) * tall
    half = rng.uniform(12, 28, 2) / pitch
    case = stamp(shape, [("disc", [u - half[0], v - half[1], u + half[0], v + half[1]], 0)])
    marks: Marks = []
    for _ in range(int(rng.integers(1, 3))):
        end = (x + float(rng.normal(0, 0.3)) * wide, y + float(rng.uniform(0, 0.6)) * tall)
        marks.append(("line", _curve(rng, (u, v), end, 20 / pitch), max(1.0, 1.5 / pitch)))
    leads = stamp(shape, marks) * np.float32(0.6)
    return np.asarray(case * np.float32(rng.uniform(0.3, 2)) + leads, np.float32)


def _wires(rng: Rng, paths: Paths, pitch: float) -> Array:
    """The twisted wires of a sternum that was opened."""
    shape = (paths.lead.shape[0], paths.lead.shape[1])
    (x, y), (_, tall) = _middle(paths)
    marks: Marks = []
    for row in np.linspace(y - tall, y + 0.6 * tall, int(rng.integers(4, 8))).tolist():
        half = rng.uniform(4, 11, 2) / pitch
        box = [x - half[0], row - half[1] / 2, x + half[0], row + half[1] / 2]
        marks.append(("ring", box, max(1.0, 1 / pitch)))
    return stamp(shape, marks) * np.float32(rng.uniform(0.2, 1))
