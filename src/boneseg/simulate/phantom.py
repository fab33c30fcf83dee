"""Phantom radiographs: a synthetic limb, its film, and the exact mask of its bones.

    film = phantom_film(seed=7, size=(512, 512))
    film.pixels, film.mask, film.part

`anatomy` draws the limb and `projector` exposes the film; this module frames it: region, distance,
position on the plate, shutters and side marker.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from boneseg.simulate.anatomy import Body, arm, foot, leg
from boneseg.simulate.film import Film, View, check_size
from boneseg.simulate.projector import Array, Exposure, Paths, expose, trace
from boneseg.simulate.tubes import Rng


@dataclass(frozen=True)
class Part:
    """A field of view: range of its centre (x; minimum, maximum y) and minimum extent (mm)."""

    body: Callable[[Rng, bool], Body]
    x: float
    y: tuple[float, float]
    long: tuple[float, float]  # along the limb
    wide: tuple[float, float]  # across it
    turn_deg: float = 0.0  # usual rotation: 180 is fingertips up
    sway_deg: float = 8.0
    weight: float = 1.0


PARTS: dict[str, Part] = {
    "hip": Part(leg, -18, (15, 70), (230, 300), (200, 260), weight=0.5),
    "thigh": Part(leg, -8, (200, 330), (260, 380), (150, 240)),
    "knee": Part(leg, -14, (425, 450), (95, 250), (82, 180), weight=1.3),
    "lower leg": Part(leg, -10, (560, 720), (230, 380), (110, 190)),
    "elbow": Part(arm, 0, (-30, 20), (140, 230), (80, 140), sway_deg=20),
    "forearm": Part(arm, 0, (90, 170), (190, 300), (80, 150), sway_deg=20),
    "hand": Part(arm, 6, (318, 335), (215, 260), (165, 215), 180, sway_deg=12, weight=1.3),
    "foot": Part(foot, 0, (5, 20), (225, 290), (115, 160), 180, sway_deg=12),
}


def phantom_film(seed: int, size: tuple[int, int] = (256, 256)) -> Film:
    """Make the film of this seed at `size` (height, width), at least 32 x 32.

    Raises UsageError for a smaller size. The same seed and size give the same bytes.
    """
    check_size(size)
    rng = np.random.default_rng(seed)
    weights = np.array([p.weight for p in PARTS.values()])
    name = str(rng.choice(list(PARTS), p=weights / weights.sum()))
    part = PARTS[name]
    young = bool(rng.random() < 0.3)
    scale = float(rng.uniform(0.68, 0.88) if young else rng.uniform(0.88, 1.12))
    body = part.body(rng, young)
    view, x, y = _frame(rng, part, size)
    paths = trace(body.bones, body.flesh, x, y, pitch=view.mm_per_px, scale=scale, rng=rng)

    if rng.random() < 0.6:
        paths = _add_marker(rng, paths, view.side)
    pixels = expose(paths, view.exposure, rng)
    mask = paths.mask
    if rng.random() < 0.35:
        shutter = _shutter(rng, size)
        pixels = pixels * shutter + np.float32(rng.choice([0.0, 0.0, 0.35])) * (1 - shutter)
        mask = mask & (shutter > 0.5)
    pixels = np.ascontiguousarray(np.clip(pixels, 0, 1), np.float32)
    return Film(pixels, mask, name, replace(view, mm_per_px=view.mm_per_px * scale))


def _frame(rng: Rng, part: Part, size: tuple[int, int]) -> tuple[View, Array, Array]:
    """A view, and the body coordinates (mm) of each pixel centre."""
    height, width = size
    long, wide = rng.uniform(*part.long), rng.uniform(*part.wide)
    lying = width > 1.3 * height  # a wide film is placed along the limb
    along, across = (width, height) if lying else (height, width)
    pitch = float(max(long / along, wide / across) if along < 2 * across else wide / across)
    pitch = min(
        pitch, 1.6 * part.long[1] / along
    )  # a very long film shows more, but not everything
    turn = part.turn_deg + (90.0 if lying else 0.0)
    limit = part.sway_deg * min(1.0, 1.6 * across / along)  # a narrow film is aligned accurately
    rotation = float(np.clip(rng.normal(0, 1), -2.5, 2.5)) * limit
    side = "L" if rng.random() < 0.5 else "R"
    mirror = 1.0 if side == "L" else -1.0

    angle = np.radians(turn + rotation)
    cos, sin = np.float32(np.cos(angle)), np.float32(np.sin(angle))
    rows = ((np.arange(height, dtype=np.float32) - (height - 1) / 2) * np.float32(pitch))[:, None]
    columns = ((np.arange(width, dtype=np.float32) - (width - 1) / 2) * np.float32(pitch))[None]
    x = (columns * cos + rows * sin) * np.float32(mirror)
    y = rows * cos - columns * sin
    x = x + np.float32(part.x + rng.normal(0, 0.06) * across * pitch)
    y = y + np.float32(rng.uniform(*part.y))
    return View(turn + rotation, side, pitch, Exposure.draw(rng)), x, y


# Strokes of the lead letters: ends (x, y) in a box one high and 0.6 wide.
LETTERS = {
    "L": ((0, 0, 0, 1), (0, 1, 0.55, 1)),
    "R": ((0, 0, 0, 1), (0, 0, 0.4, 0), (0.4, 0, 0.55, 0.14), (0.55, 0.14, 0.55, 0.36),
          (0.55, 0.36, 0.4, 0.5), (0.4, 0.5, 0, 0.5), (0.3, 0.5, 0.6, 1)),
}  # fmt: skip


def _add_marker(rng: Rng, paths: Paths, side: str) -> Paths:
    """A lead letter in the emptiest of several places, never over bone."""
    height, width = paths.bone.shape
    tall = float(rng.uniform(0.06, 0.1)) * min(height, width)
    if tall < 8:
        return paths
    angle, half = float(rng.normal(0, 0.25)), int(tall * 0.75)
    grid = np.arange(-half, half + 1, dtype=np.float32) / np.float32(tall)
    u = grid[None] * np.cos(angle) + grid[:, None] * np.sin(angle) + 0.3
    v = grid[:, None] * np.cos(angle) - grid[None] * np.sin(angle) + 0.5
    away = np.full(u.shape, np.inf)
    for x0, y0, x1, y1 in LETTERS[side]:
        dx, dy = x1 - x0, y1 - y0
        t = np.clip(((u - x0) * dx + (v - y0) * dy) / (dx * dx + dy * dy), 0, 1)
        away = np.minimum(away, np.hypot(u - x0 - t * dx, v - y0 - t * dy))
    stamp = np.clip((0.085 - away) * tall + 0.5, 0, 1).astype(np.float32)
    best: tuple[float, int, int] | None = None
    for _ in range(12):
        top = int(rng.integers(2, height - 2 * half - 3))
        left = int(rng.integers(2, width - 2 * half - 3))
        spot = np.s_[top : top + 2 * half + 1, left : left + 2 * half + 1]
        flesh = float(paths.muscle[spot].mean() + 1e4 * paths.envelope[spot].mean())
        if best is None or flesh < best[0]:
            best = (flesh, top, left)
    if best is None or best[0] > 1e3:
        return paths
    lead = np.zeros_like(paths.lead)
    lead[best[1] : best[1] + 2 * half + 1, best[2] : best[2] + 2 * half + 1] = stamp
    return replace(paths, lead=lead)


def _shutter(rng: Rng, size: tuple[int, int]) -> Array:
    """1 inside the collimated field, 0 outside, with a penumbra of a pixel or two."""
    height, width = size
    angle = float(rng.normal(0, 0.03))
    rows = np.linspace(-1, 1, height, dtype=np.float32)[:, None]
    columns = np.linspace(-1, 1, width, dtype=np.float32)[None]
    u, v = columns + np.float32(angle) * rows, rows - np.float32(angle) * columns
    soft = np.float32(min(size) / 3)
    left, right, top, low = rng.uniform(0.78, 1.08, 4).astype(np.float32)
    inside = np.minimum(np.minimum(u + left, right - u), np.minimum(v + top, low - v))
    return np.asarray(np.clip(0.5 + inside * soft, 0, 1), np.float32)
