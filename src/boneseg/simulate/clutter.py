"""Other objects in the beam: metal, casts, clothes, shields and lead markers."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from boneseg.simulate.devices import add_chest_devices, add_head_devices
from boneseg.simulate.projector import Array, Paths
from boneseg.simulate.stamps import stamp

Rng = np.random.Generator
Mask = NDArray[np.bool_]


def add_objects(rng: Rng, paths: Paths, pitch: float, part: str = "") -> Paths:
    """Add objects on or beside the patient at random: metal, a cast, clothes, a lead marker.

    `pitch` is mm per pixel. Heads and chests, according to `part`, also get the devices typical of
    them. Bone under metal is still bone: `envelope` is unchanged.
    """
    if part in ("skull", "neck"):
        paths = add_head_devices(rng, paths, pitch)
    elif part in ("chest", "trunk", "whole body"):
        paths = add_chest_devices(rng, paths, pitch)
    if rng.random() < 0.25:
        paths = _clothes(rng, paths, pitch)
    if rng.random() < 0.08:
        paths = _cast(rng, paths, pitch)
    lead = paths.lead.copy()
    if rng.random() < 0.14:
        for _ in range(int(rng.integers(1, 4))):
            lead += _implant(rng, paths, pitch)
    if rng.random() < 0.15:
        for _ in range(int(rng.integers(1, 5))):
            lead += _small_object(rng, paths.lead.shape, pitch)
    if rng.random() < 0.04:
        lead += _shield(rng, paths.lead.shape, pitch)
    if rng.random() < 0.6:
        lead += _letters(rng, paths)
    return replace(paths, lead=lead)


def _spot(rng: Rng, mask: Mask) -> tuple[float, float]:
    """A random (column, row) in the mask, or anywhere if it is empty."""
    rows, columns = np.nonzero(mask[::4, ::4])
    if not len(rows):
        return float(rng.uniform(0, mask.shape[1])), float(rng.uniform(0, mask.shape[0]))
    index = int(rng.integers(len(rows)))
    return 4.0 * float(columns[index]), 4.0 * float(rows[index])


def _implant(rng: Rng, paths: Paths, pitch: float) -> Array:
    """A nail, a plate with its screws, screws alone, or a wire, on a bone."""
    shape, kind = paths.lead.shape, rng.choice(["nail", "plate", "screw", "wire"])
    x, y = _spot(rng, paths.mask)
    angle = float(rng.uniform(0, math.pi))
    cos, sin = math.cos(angle), math.sin(angle)
    length = float(rng.uniform(25, 200)) / pitch
    wide = max(1.0, float(rng.uniform(2, 12)) / pitch)
    ends = [
        (x - cos * length / 2, y - sin * length / 2),
        (x + cos * length / 2, y + sin * length / 2),
    ]
    marks: list[tuple[str, object, float]] = []
    if kind == "wire":
        bends = [(x + cos * t * length + rng.normal(0, 0.1) * length,
                  y + sin * t * length + rng.normal(0, 0.1) * length)
                 for t in np.linspace(-0.5, 0.5, 6)]  # fmt: skip
        marks.append(("line", bends, max(1.0, 1.2 / pitch)))
    elif kind == "screw":
        marks.append(("line", ends, max(1.0, float(rng.uniform(2, 6)) / pitch)))
    else:
        marks.append(("line", ends, wide))
    if kind == "plate":
        for t in np.arange(-0.45, 0.5, 0.15):
            px, py = x + cos * t * length, y + sin * t * length
            if rng.random() < 0.6:
                reach = float(rng.uniform(1, 4)) * wide
                marks.append(("line", [(px, py), (px - sin * reach, py + cos * reach)], wide / 3))
            else:
                r = wide / 4
                marks.append(("hole", [px - r, py - r, px + r, py + r], 0))
    return stamp((shape[0], shape[1]), marks) * np.float32(rng.uniform(0.6, 3))


def _small_object(rng: Rng, shape: tuple[int, ...], pitch: float) -> Array:
    """Rings, buttons, snaps, coins, electrodes and their leads, anywhere."""
    x, y = float(rng.uniform(0, shape[1])), float(rng.uniform(0, shape[0]))
    radius = float(rng.uniform(2, 14)) / pitch
    box = [
        x - radius,
        y - radius * rng.uniform(0.3, 1),
        x + radius,
        y + radius * rng.uniform(0.3, 1),
    ]
    kind = rng.choice(["ring", "disc", "lead"])
    if kind == "lead":
        steps = np.array([x, y]) + np.cumsum(rng.normal(0, 0.12 * shape[0], (6, 2)), axis=0)
        marks: list[tuple[str, object, float]] = [
            ("line", [tuple(p) for p in steps.tolist()], max(1.0, 1.5 / pitch))
        ]
    else:
        marks = [(str(kind), box, radius / 3)]
    return stamp((shape[0], shape[1]), marks) * np.float32(rng.uniform(0.1, 2))


def _shield(rng: Rng, shape: tuple[int, ...], pitch: float) -> Array:
    """A radiation shield: a large, soft-edged disc of high attenuation."""
    from scipy.ndimage import gaussian_filter

    x, y = float(rng.uniform(0, shape[1])), float(rng.uniform(0, shape[0]))
    wide, tall = rng.uniform(20, 60, 2) / pitch
    disc = stamp((shape[0], shape[1]), [("disc", [x - wide, y - tall, x + wide, y + tall], 0)])
    soft = gaussian_filter(disc, float(rng.uniform(0.5, 6)) / pitch)
    return np.asarray(soft * np.float32(rng.uniform(0.1, 1.0)), np.float32)


def _letters(rng: Rng, paths: Paths) -> Array:
    """A lead side marker or initials, in the emptiest of several places."""
    height, width = paths.lead.shape
    text = str(rng.choice(["L", "R", "L", "R", "AP", "PA", "LAT", "RT", "LT", "STANDING", "JB"]))
    glyphs = writing(text, int(max(8, float(rng.uniform(0.03, 0.12)) * min(height, width))))
    glyphs = glyphs.rotate(float(rng.normal(0, 25)), expand=True)
    if rng.random() < 0.5 and rng.random() < 0.3:
        glyphs = glyphs.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    mark = np.asarray(glyphs, np.float32) / 255
    if rng.random() < 0.25:  # on a plastic plate
        mark = np.maximum(mark, 0.08)
    mark = mark[:height, :width]
    best: tuple[float, int, int] | None = None
    for _ in range(10):
        top = int(rng.integers(0, height - mark.shape[0] + 1))
        left = int(rng.integers(0, width - mark.shape[1] + 1))
        spot = np.s_[top : top + mark.shape[0], left : left + mark.shape[1]]
        crowd = float(paths.muscle[spot].mean() + 50 * paths.envelope[spot].mean())
        if best is None or crowd < best[0]:
            best = (crowd, top, left)
    lead = np.zeros_like(paths.lead)
    if best is not None:
        lead[best[1] : best[1] + mark.shape[0], best[2] : best[2] + mark.shape[1]] = mark
    return lead * np.float32(rng.uniform(0.5, 2))


@lru_cache(maxsize=256)
def writing(text: str, size: int) -> Image.Image:
    font = ImageFont.load_default(size)
    left, top, right, bottom = font.getbbox(text)
    image = Image.new("L", (int(right - left) + 4, int(bottom - top) + 4))
    ImageDraw.Draw(image).text((2 - left, 2 - top), text, fill=255, font=font)
    return image


def _cast(rng: Rng, paths: Paths, pitch: float) -> Paths:
    """A plaster or fibreglass cast: a shell, thick at its edges, with a weave."""
    from scipy.ndimage import distance_transform_edt, gaussian_filter

    body = paths.muscle + paths.fat > 4
    if not body.any() or body.all():
        return paths
    thick = float(rng.uniform(3, 9))
    away = distance_transform_edt(~body) * pitch
    shell = np.where(body, 2 * thick, np.where(away < thick, 3 * thick * (1 - away / thick), 0))
    weave = gaussian_filter(rng.normal(size=body.shape), 1.2) * float(rng.uniform(0, 1.5))
    end = float(rng.uniform(-0.2, 0.5))
    rows = np.linspace(0, 1, body.shape[0])[:, None]
    along = rows if rng.random() < 0.5 else 1 - rows
    shell = gaussian_filter(shell * (1 + 0.3 * weave), 0.7) * (along > end)
    material = np.asarray(shell * float(rng.uniform(0.6, 2)), np.float32)
    return replace(paths, muscle=paths.muscle + material)


def _clothes(rng: Rng, paths: Paths, pitch: float) -> Paths:
    """Sheets, pads, sponges and table edges: faint steps and folds across the film."""
    height, width = paths.muscle.shape
    extra = np.zeros((height, width), np.float32)
    y, x = np.indices((height, width), dtype=np.float32)
    for _ in range(int(rng.integers(1, 5))):
        angle = float(rng.uniform(0, 2 * math.pi))
        along = (x - rng.uniform(0, width)) * math.cos(angle) + (
            y - rng.uniform(0, height)
        ) * math.sin(angle)
        bent = along + np.float32(rng.uniform(0, 20) / pitch) * np.sin(
            y / np.float32(rng.uniform(20, 90))
        )
        amount = np.float32(rng.uniform(0.5, 12))
        if rng.random() < 0.5:
            extra += amount * np.clip(bent, 0, 1)  # an edge
        else:
            extra += amount * np.exp(-np.square(bent * pitch / rng.uniform(1, 6))).astype(
                np.float32
            )
    return replace(paths, fat=paths.fat + extra)
