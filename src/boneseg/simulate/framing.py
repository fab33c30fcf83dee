"""Image artefacts after exposure: seams, rulers, shutters, cassettes, text and scans.

The labels follow the film: outside the field nothing is visible, and labels are 0.
"""

from __future__ import annotations

import math
from string import ascii_uppercase, digits

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from boneseg.simulate.clutter import writing
from boneseg.simulate.projector import Array, enlarged
from boneseg.simulate.stamps import stamp

Rng = np.random.Generator
Labels = NDArray[np.uint64]

_LONG = 1.8  # height to width ratio from which a film is stitched, on a cassette with a scale


def frame_film(rng: Rng, film: Array, labels: Labels) -> tuple[Array, Labels]:
    """Return the film (H x W in [0, 1]) and its labels (H x W) with acquisition artefacts."""
    long = film.shape[0] > _LONG * film.shape[1]
    if rng.random() < (0.7 if long else 0.06):
        film = _stitched(rng, film)
    film = _processed(rng, film)
    if rng.random() < (0.5 if long else 0.03):
        film = _ruled(rng, film)
    if rng.random() < (0.5 if long else 0.03):
        film = _scale(rng, film)
    if rng.random() < 0.45:
        film, labels = _shut(rng, film, labels)
    if rng.random() < 0.2:
        film = _cassette(rng, film)
    if rng.random() < 0.25:
        film = _text(rng, film)
    if rng.random() < 0.08:
        film, labels = _margin(rng, film, labels)
    return np.ascontiguousarray(np.clip(film, 0, 1), np.float32), labels


def _processed(rng: Rng, film: Array) -> Array:
    """Windows, curves and filters of viewers and image export."""
    from scipy.ndimage import gaussian_filter

    if rng.random() < 0.35:  # local contrast equalisation
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
    """Two to four stitched exposures, each with its own grey level and noise."""
    film = film.copy()
    height = film.shape[0]
    for _ in range(int(rng.integers(1, 4))):
        row = int(rng.uniform(0.1, 0.9) * height)
        part = film[row:] if rng.random() < 0.5 else film[:row]
        part[:] = part * np.float32(rng.uniform(0.6, 1.2)) + np.float32(rng.normal(0, 0.12))
        if rng.random() < 0.2:  # one of them underexposed
            part += rng.normal(0, float(rng.uniform(0.01, 0.06)), part.shape).astype(np.float32)
        if rng.random() < 0.6:  # a line at the seam, or a fading band
            fade = max(1.0, float(rng.choice([1.0, 0.01 * height, 0.03 * height])))
            away = row - np.arange(height, dtype=np.float32)[:, None]
            band = np.where(away >= 0, np.exp(-np.maximum(away, 0) / np.float32(fade)), 0)
            film += (band * rng.uniform(-0.1, 0.35)).astype(np.float32)
    return film


def _ruled(rng: Rng, film: Array) -> Array:
    """The fine measuring grid of a long cassette."""
    height, width = film.shape
    step = float(rng.uniform(0.03, 0.14)) * height
    lines = np.zeros((height, width), np.float32)
    for rows, length in ((lines, height), (lines.T, width)):
        at = np.arange(float(rng.uniform(0, step)), length, step).astype(int)
        rows[at] = np.float32(rng.uniform(0.3, 1.0))
    return film + lines * np.float32(rng.uniform(0.05, 0.35))


def _scale(rng: Rng, film: Array) -> Array:
    """A ruler along the film: ticks, and numbers that are upright or rotated."""
    height, width = film.shape
    ruler = Image.new("L", (width, height))
    pen = ImageDraw.Draw(ruler)
    step = float(rng.uniform(0.008, 0.03)) * height
    left = float(rng.uniform(0.02, 0.9)) * width
    tick = float(rng.uniform(0.01, 0.05)) * width
    every, size = int(rng.choice([1, 2, 5])), int(max(6, step * float(rng.uniform(0.6, 1.6))))
    lying = bool(rng.random() < 0.6)
    first, slope = int(rng.integers(0, 100)), float(rng.normal(0, 0.01))
    for number, y in enumerate(np.arange(0.0, height, step)):
        x = left + slope * y
        pen.line([(x, y), (x + tick * (2 if number % every == 0 else 1), y)], fill=200)
        if number % every == 0:
            text = writing(str(first + number), size)
            text = text.rotate(90, expand=True) if lying else text
            ruler.paste(text, (int(x - text.width - 1), int(y - text.height / 2)))
    marks = np.asarray(ruler, np.float32) / 255
    return np.asarray(film + marks * np.float32(rng.uniform(0.08, 0.7)), np.float32)


def _field(rng: Rng, shape: tuple[int, ...]) -> Array:
    """1 inside a polygonal or round field, 0 outside, with a soft edge."""
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


def _shut(rng: Rng, film: Array, labels: Labels) -> tuple[Array, Labels]:
    """Shutters: black, white or grey outside the field, opaque or slightly transparent."""
    field = _field(rng, film.shape)
    grey = np.float32(rng.choice([0.0, 0.0, 0.0, 1.0, rng.uniform(0, 1)]))
    trace = np.float32(rng.choice([0.0, 0.0, rng.uniform(0, 0.12)]))
    outside = grey * (1 - trace) + trace * film
    noise = rng.normal(0, 0.01, film.shape).astype(np.float32) if rng.random() < 0.3 else 0
    shown = np.where(field > 0.5, labels, 0).astype(np.uint64)
    return film * field + (outside + noise) * (1 - field), shown


def _cassette(rng: Rng, film: Array) -> Array:
    """The bright frame of a cassette, a little turned, with or without a step of grey at it."""
    height, width = film.shape
    low, high = rng.uniform(0.0, 0.2, 2), rng.uniform(0.8, 1.0, 2)
    corners = np.array([[low[0], low[1]], [high[0], low[1]], [high[0], high[1]], [low[0], high[1]]])
    angle = float(rng.normal(0, 0.06))
    turn = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    corners = ((corners - 0.5) @ turn.T + 0.5) * (width, height)
    points = [tuple(p) for p in [*corners.tolist(), corners[0].tolist()]]
    line = stamp((height, width), [("line", points, max(1.0, rng.uniform(0.002, 0.012) * width))])
    film = film + line * np.float32(rng.uniform(0.2, 1.0))
    if rng.random() < 0.5:
        inside = stamp((height, width), [("fill", points, 0)])
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
        image = writing(text if text.strip() else "X", size)
        mark = (np.asarray(image, np.float32) / 255)[:height, :width]
        top = int(rng.integers(0, height - mark.shape[0] + 1))
        left = int(rng.integers(0, width - mark.shape[1] + 1))
        window = film[top : top + mark.shape[0], left : left + mark.shape[1]]
        white = np.float32(rng.choice([1.0, 1.0, 0.0]))
        if rng.random() < 0.3:
            window[:] = 1 - white
        window += mark * (white - window)
    return film


def _margin(rng: Rng, film: Array, labels: Labels) -> tuple[Array, Labels]:
    """A scanned film: a border of one grey around a smaller image."""
    height, width = film.shape
    share = float(rng.uniform(0.6, 0.95))
    small = (max(8, int(height * share)), max(8, int(width * share)))
    image = Image.fromarray(film).resize(small[::-1], Image.Resampling.BOX)
    rows, columns = (
        ((np.arange(few) + 0.5) * all_ / few).astype(int)
        for few, all_ in zip(small, film.shape, strict=True)
    )
    top = int(rng.integers(0, height - small[0] + 1))
    left = int(rng.integers(0, width - small[1] + 1))
    grey = float(rng.choice([0.0, 1.0, rng.uniform(0, 1)]))
    page, hidden = np.full_like(film, grey), np.zeros_like(labels)
    page[top : top + small[0], left : left + small[1]] = np.asarray(image)
    hidden[top : top + small[0], left : left + small[1]] = labels[np.ix_(rows, columns)]
    return page, hidden
