"""What else is on a film: metal, casts, clothes, markers, letters, shutters, cassettes and scans.

`add_objects` puts things in the way of the rays. `frame_film` does what becomes of the image after:
what was shut out, the edge of the cassette, burned-in text, the seam of a stitched film, and how
hard the image was worked on. It is the film's own business to keep its mask: what is shut out of
the field is not seen, and so is no bone.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from string import ascii_uppercase, digits

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from boneseg.simulate.projector import Array, Paths, enlarged

Rng = np.random.Generator
Mask = NDArray[np.bool_]


def add_objects(rng: Rng, paths: Paths, pitch: float) -> Paths:
    """Things on the patient or beside: now and then metal, a cast, clothes, a marker of lead.

    `pitch` is mm a pixel. Bone under metal is still bone: `envelope` is not touched.
    """
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
            lead += _trinket(rng, paths.lead.shape, pitch)
    if rng.random() < 0.6:
        lead += _letters(rng, paths)
    return replace(paths, lead=lead)


def frame_film(rng: Rng, film: Array, mask: Mask) -> tuple[Array, Mask]:
    """The film (H x W in [0, 1]) and its mask as they leave the reader."""
    if rng.random() < 0.06:
        film = _stitched(rng, film)
    film = _worked_on(rng, film)
    if rng.random() < 0.45:
        film, mask = _shut(rng, film, mask)
    if rng.random() < 0.2:
        film = _cassette(rng, film)
    if rng.random() < 0.25:
        film = _text(rng, film)
    if rng.random() < 0.08:
        film, mask = _margin(rng, film, mask)
    return np.ascontiguousarray(np.clip(film, 0, 1), np.float32), mask


# In the way of the rays


def _stamp(shape: tuple[int, int], draw: Sequence[tuple[str, object, float]]) -> Array:
    """Shapes as an image of 0 to 1: ("line", points, width), ("ring", box, width), and filled."""
    image = Image.new("L", (shape[1], shape[0]))
    pen = ImageDraw.Draw(image)
    for kind, where, width in draw:
        thick = max(1, round(width))
        if kind == "line":
            pen.line(where, fill=255, width=thick, joint="curve")  # type: ignore[arg-type]
        elif kind == "ring":
            pen.ellipse(where, outline=255, width=thick)  # type: ignore[arg-type]
        elif kind == "hole":
            pen.ellipse(where, fill=0)  # type: ignore[arg-type]
        elif kind == "disc":
            pen.ellipse(where, fill=255)  # type: ignore[arg-type]
        else:
            pen.polygon(where, fill=255)  # type: ignore[arg-type]
    return np.asarray(image, np.float32) / np.float32(255)


def _spot(rng: Rng, mask: Mask) -> tuple[float, float]:
    """A pixel of the mask, or any: column, row."""
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
    return _stamp((shape[0], shape[1]), marks) * np.float32(rng.uniform(0.6, 3))


def _trinket(rng: Rng, shape: tuple[int, ...], pitch: float) -> Array:
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
    return _stamp((shape[0], shape[1]), marks) * np.float32(rng.uniform(0.1, 2))


def _letters(rng: Rng, paths: Paths) -> Array:
    """A side marker or initials of lead, in the emptiest of a few places."""
    height, width = paths.lead.shape
    text = str(rng.choice(["L", "R", "L", "R", "AP", "PA", "LAT", "RT", "LT", "STANDING", "JB"]))
    glyphs = _writing(text, int(max(8, float(rng.uniform(0.03, 0.12)) * min(height, width))))
    glyphs = glyphs.rotate(float(rng.normal(0, 25)), expand=True)
    if rng.random() < 0.5 and rng.random() < 0.3:
        glyphs = glyphs.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    mark = np.asarray(glyphs, np.float32) / 255
    if rng.random() < 0.25:  # on a plate of plastic
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
def _writing(text: str, size: int) -> Image.Image:
    font = ImageFont.load_default(size)
    left, top, right, bottom = font.getbbox(text)
    image = Image.new("L", (int(right - left) + 4, int(bottom - top) + 4))
    ImageDraw.Draw(image).text((2 - left, 2 - top), text, fill=255, font=font)
    return image


def _cast(rng: Rng, paths: Paths, pitch: float) -> Paths:
    """Plaster or fibreglass around the limb: a shell, thick at its edges, with a weave."""
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
    """Sheets, pads, sponges and table edges: faint steps and folds right across the film."""
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


# On the film


def _worked_on(rng: Rng, film: Array) -> Array:
    """Windows, curves and filters of readers and of those who saved the film."""
    from scipy.ndimage import gaussian_filter

    if rng.random() < 0.35:  # equalised: every part as contrasty as the others
        sigma = float(rng.uniform(0.03, 0.15)) * max(film.shape)
        step = max(1, int(sigma / 3))
        few = film[::step, ::step]
        mean = enlarged(gaussian_filter(few, sigma / step), film.shape)
        spread = enlarged(gaussian_filter(np.abs(few - few.mean()), sigma / step), film.shape)
        level = 0.5 + 0.22 * (film - mean) / (spread + 0.06)
        film = film + np.float32(rng.uniform(0.2, 0.9)) * (level.astype(np.float32) - film)
    if rng.random() < 0.6:
        low, high = float(rng.normal(0, 0.07)), float(rng.normal(1, 0.12))
        film = np.clip((film - low) / max(high - low, 0.3), 0, 1)
        film = film ** np.float32(np.exp(rng.normal(0, 0.4)))
    if rng.random() < 0.2:
        film = film + np.float32(rng.uniform(0.2, 1.5)) * (film - gaussian_filter(film, 2))
    if rng.random() < 0.15:
        film = gaussian_filter(film, float(rng.uniform(0.4, 1.3)))
    if rng.random() < 0.2:
        film = film * np.float32(rng.uniform(0.4, 0.9)) + np.float32(rng.uniform(0, 0.3))
    return np.asarray(np.clip(film, 0, 1), np.float32)


def _stitched(rng: Rng, film: Array) -> Array:
    """Two or three exposures set one under the other."""
    film = film.copy()
    for _ in range(int(rng.integers(1, 3))):
        row = int(rng.uniform(0.15, 0.85) * film.shape[0])
        film[row:] = film[row:] * np.float32(rng.uniform(0.8, 1.2)) + np.float32(
            rng.normal(0, 0.05)
        )
        if rng.random() < 0.5:
            film[row : row + max(1, film.shape[0] // 300)] += np.float32(rng.normal(0, 0.3))
    return film


def _field(rng: Rng, shape: tuple[int, ...]) -> Array:
    """1 inside a field of three or more straight sides, or a round one, 0 outside; a soft edge."""
    height, width = shape
    rows = np.linspace(-1, 1, height, dtype=np.float32)[:, None]
    columns = np.linspace(-1, 1, width, dtype=np.float32)[None]
    angle = float(rng.choice([0.0, rng.normal(0, 0.03), rng.normal(0, 0.3)]))
    u, v = columns + np.float32(angle) * rows, rows - np.float32(angle) * columns
    sides = np.where(rng.random(4) < 0.5, rng.uniform(0.6, 1.0, 4), 1.6).astype(np.float32)
    inside = np.minimum(
        np.minimum(u + sides[0], sides[1] - u), np.minimum(v + sides[2], sides[3] - v)
    )
    if rng.random() < 0.08:
        inside = np.minimum(inside, np.float32(rng.uniform(0.85, 1.2)) - np.hypot(u, v))
    soft = np.float32(min(shape) / float(rng.choice([2.0, 4.0, 12.0])))
    return np.asarray(np.clip(0.5 + inside * soft, 0, 1), np.float32)


def _shut(rng: Rng, film: Array, mask: Mask) -> tuple[Array, Mask]:
    """Shutters: black, white or grey outside the field, with or without a trace of the rest."""
    field = _field(rng, film.shape)
    grey = np.float32(rng.choice([0.0, 0.0, 0.0, 1.0, rng.uniform(0, 1)]))
    trace = np.float32(rng.choice([0.0, 0.0, rng.uniform(0, 0.12)]))
    outside = grey * (1 - trace) + trace * film
    noise = rng.normal(0, 0.01, film.shape).astype(np.float32) if rng.random() < 0.3 else 0
    return film * field + (outside + noise) * (1 - field), mask & (field > 0.5)


def _cassette(rng: Rng, film: Array) -> Array:
    """The bright frame of a cassette, a little turned, with or without a step of grey at it."""
    height, width = film.shape
    low, high = rng.uniform(0.0, 0.2, 2), rng.uniform(0.8, 1.0, 2)
    corners = np.array([[low[0], low[1]], [high[0], low[1]], [high[0], high[1]], [low[0], high[1]]])
    angle = float(rng.normal(0, 0.06))
    turn = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    corners = ((corners - 0.5) @ turn.T + 0.5) * (width, height)
    points = [tuple(p) for p in [*corners.tolist(), corners[0].tolist()]]
    line = _stamp((height, width), [("line", points, max(1.0, rng.uniform(0.002, 0.012) * width))])
    film = film + line * np.float32(rng.uniform(0.2, 1.0))
    if rng.random() < 0.5:
        inside = _stamp((height, width), [("fill", points, 0)])
        film = film + np.float32(rng.uniform(0.03, 0.5)) * (1 - inside)
    return film


def _text(rng: Rng, film: Array) -> Array:
    """Burned-in letters, white or black, some in a box."""
    film = film.copy()
    height, width = film.shape
    for _ in range(int(rng.integers(1, 4))):
        length = int(rng.integers(1, 12))
        text = "".join(rng.choice(list(ascii_uppercase + digits + " "), length))
        size = int(max(7, rng.uniform(0.02, 0.07) * min(height, width)))
        image = _writing(text if text.strip() else "X", size)
        mark = (np.asarray(image, np.float32) / 255)[:height, :width]
        top = int(rng.integers(0, height - mark.shape[0] + 1))
        left = int(rng.integers(0, width - mark.shape[1] + 1))
        window = film[top : top + mark.shape[0], left : left + mark.shape[1]]
        white = np.float32(rng.choice([1.0, 1.0, 0.0]))
        if rng.random() < 0.3:
            window[:] = 1 - white
        window += mark * (white - window)
    return film


def _margin(rng: Rng, film: Array, mask: Mask) -> tuple[Array, Mask]:
    """A scanned film: a border of one grey around a smaller image."""
    height, width = film.shape
    share = float(rng.uniform(0.6, 0.95))
    small = (max(8, int(height * share)), max(8, int(width * share)))
    image = Image.fromarray(film).resize(small[::-1], Image.Resampling.BOX)
    inner = Image.fromarray(mask).resize(small[::-1], Image.Resampling.NEAREST)
    top = int(rng.integers(0, height - small[0] + 1))
    left = int(rng.integers(0, width - small[1] + 1))
    grey = float(rng.choice([0.0, 1.0, rng.uniform(0, 1)]))
    page, hidden = np.full_like(film, grey), np.zeros_like(mask)
    page[top : top + small[0], left : left + small[1]] = np.asarray(image)
    hidden[top : top + small[0], left : left + small[1]] = np.asarray(inner)
    return page, hidden
