"""Training images of the film check: simulated films, photographs and synthetic images.

`scripts/train_film_check.py` trains on these. Every picture is float32 in [0, 1], of any size, and
is damaged in the same ways (`damaged`): frames, letters, noise and curves distinguish none.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from string import ascii_letters, digits
from typing import Any

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from scipy.ndimage import gaussian_filter, map_coordinates

from boneseg.preprocessing import resize

Grey = NDArray[np.float32]

SIDE = 256  # px, about, of a picture before it is damaged
WINDOWS = ((-600, 1500), (40, 400), (50, 350), (400, 1800), (0, 1000))  # of a CT: level, width


def grey(image: Image.Image) -> Grey:
    """A picture of any kind as grey in [0, 1]."""
    return np.asarray(image.convert("L"), np.float32) / 255


def cut(picture: Grey, chance: Generator, least: float) -> Grey:
    """A part of a picture: `least` to all of each side, made SIDE px long at most; some strips."""
    rows, columns = part(picture.shape, chance, least)
    return shrunk(picture[rows, columns])


def part(size: tuple[int, ...], chance: Generator, least: float) -> tuple[slice, slice]:
    """Rows and columns of a random part."""
    height, width = size
    tall, wide = chance.uniform(least, 1, 2)
    if chance.random() < 0.12:
        tall, wide = (1.0, chance.uniform(0.15, 0.4)) if height > width else (tall, wide)
    rows, columns = max(16, int(tall * height)), max(16, int(wide * width))
    top = int(chance.integers(0, height - rows + 1))
    left = int(chance.integers(0, width - columns + 1))
    return slice(top, top + rows), slice(left, left + columns)


def shrunk(picture: Grey) -> Grey:
    """The picture, its longer side SIDE px at most."""
    scale = min(1.0, SIDE / max(picture.shape))
    size = tuple(max(16, round(side * scale)) for side in picture.shape)
    return np.clip(resize(picture, (size[0], size[1])), 0, 1)


def turned(picture: Grey, chance: Generator, often: float) -> Grey:
    """Mirrored at times, and by quarter turns with the probability `often`."""
    if chance.random() < 0.5:
        picture = picture[:, ::-1]
    if chance.random() < often:
        picture = np.rot90(picture, chance.integers(1, 4))
    return np.ascontiguousarray(picture)


# Films


def film(simulated: Grey, bone: NDArray[np.bool_], chance: Generator) -> Grey:
    """A view of a simulated radiograph that shows some bone, where a few tries find one."""
    for _ in range(5):
        rows, columns = part(simulated.shape, chance, 0.5)
        if bone[rows, columns].mean() > 0.08:
            break
    return turned(shrunk(simulated[rows, columns]), chance, 0.25)


# All else


def photograph(picture: Grey, chance: Generator) -> Grey:
    """A part of a photograph, at times cut out of a plain ground."""
    view = turned(cut(picture, chance, 2 ** -chance.uniform(0, 2.5)), chance, 0.1)
    if chance.random() < 0.12:
        inside = blob(view.shape, chance)
        ground = chance.choice([0.0, 1.0, chance.random()])
        view = np.where(inside, view, np.float32(ground))
    return view


def blob(shape: tuple[int, ...], chance: Generator) -> NDArray[np.bool_]:
    """One smooth shape in the middle."""
    height, width = shape
    y, x = np.mgrid[:height, :width]
    angle = np.arctan2(y / height - 0.5, x / width - 0.5)
    radius = np.hypot(y / height - 0.5, x / width - 0.5)
    edge = np.full(shape, chance.uniform(0.25, 0.5))
    for order in range(2, 7):
        edge += chance.normal(0, 0.05) * np.cos(order * angle + chance.uniform(0, 6.3))
    return radius < edge


def fractal(shape: tuple[int, int], chance: Generator, power: float | None = None) -> Grey:
    """Noise whose amplitude falls with the frequency to a power, of mean 0.5."""
    height, width = shape
    slope = chance.uniform(0.5, 2.5) if power is None else power
    stretch = 2 ** chance.uniform(-2, 2)
    frequency = np.hypot(
        np.fft.fftfreq(height)[:, None] * stretch, np.fft.rfftfreq(width)[None] / stretch
    )
    frequency[0, 0] = 1
    white = np.fft.rfft2(chance.normal(size=shape))
    white[0, 0] = 0
    noise = np.fft.irfft2(white / frequency**slope, shape)
    return np.clip(0.5 + noise / (noise.std() + 1e-9) * chance.uniform(0.1, 0.3), 0, 1).astype("f4")


def clouds(chance: Generator) -> Grey:
    """Textures: noise, bands, ridges, thresholds of it."""
    base = fractal(shape(chance), chance)
    kind = chance.integers(4)
    if kind == 1:
        base = np.abs(2 * base - 1)
    elif kind == 2:
        base = 0.5 + 0.5 * np.sin(base * chance.uniform(10, 60))
    elif kind == 3:
        steps = chance.integers(2, 6)
        base = np.floor(base * steps) / (steps - 1)
    return np.clip(base, 0, 1).astype(np.float32)


def shape(chance: Generator) -> tuple[int, int]:
    """A picture's height and width."""
    side, aspect = chance.integers(140, SIDE + 1), 2 ** chance.uniform(-1, 1)
    return (int(side), int(side * aspect)) if aspect < 1 else (int(side / aspect), int(side))


def leaves(chance: Generator) -> Grey:
    """Things that hide one another, each shaded and textured: the statistics of photographs.

    Dead leaves: Lee, Mumford and Huang, "Occlusion models for natural images", 2001.
    """
    height, width = shape(chance)
    picture = fractal((height, width), chance)
    least, most = chance.uniform(3, 12), chance.uniform(0.2, 0.7) * max(height, width)
    texture = [fractal((height, width), chance) for _ in range(2)]
    rise = np.linspace(-0.5, 0.5, height, dtype=np.float32)[:, None]
    run = np.linspace(-0.5, 0.5, width, dtype=np.float32)[None]
    for _ in range(chance.integers(6, 150)):
        radius = (least**-2 + chance.random() * (most**-2 - least**-2)) ** -0.5
        mask = Image.new("L", (width, height))
        draw = ImageDraw.Draw(mask)
        x, y = chance.uniform(0, width), chance.uniform(0, height)
        if chance.random() < 0.4:
            wide, tall = radius, radius * chance.uniform(0.3, 1)
            draw.ellipse((x - wide, y - tall, x + wide, y + tall), fill=255)
        else:
            corners = np.sort(chance.uniform(0, 2 * np.pi, chance.integers(3, 7)))
            draw.polygon(
                [(x + radius * np.cos(a), y + radius * np.sin(a)) for a in corners], fill=255
            )
        box = mask.getbbox()
        if box is None:
            continue
        rows, columns = slice(box[1], box[3]), slice(box[0], box[2])
        share = np.asarray(mask, np.float32)[rows, columns] / 255
        slope, tilt = chance.normal(0, 0.4, 2)
        tone = chance.random() + slope * rise[rows] + tilt * run[:, columns]
        tone = tone + chance.uniform(0, 0.6) * (texture[chance.integers(2)][rows, columns] - 0.5)
        picture[rows, columns] += share * (tone - picture[rows, columns])
    return np.clip(picture, 0, 1)


def document(chance: Generator) -> Grey:
    """Pages, screens and charts: words, boxes, curves, bars, tables."""
    height, width = (2 * side for side in shape(chance))
    dark = chance.random() < 0.3
    paper = chance.integers(0, 50) if dark else chance.integers(200, 256)
    image = Image.new("L", (width, height), int(paper))
    draw = ImageDraw.Draw(image)
    for _ in range(chance.integers(1, 7)):
        left, top = int(chance.uniform(0, 0.7) * width), int(chance.uniform(0, 0.8) * height)
        wide, tall = int(chance.uniform(0.2, 1) * width), int(chance.uniform(0.1, 1) * height)
        ink = int(chance.integers(150, 256) if dark else chance.integers(0, 130))
        kinds = (paragraph, paragraph, box, curve, bars, table)
        kinds[chance.integers(6)](draw, (left, top, left + wide, top + tall), ink, chance)
    return cut(grey(image), chance, 0.4)


Box = tuple[int, int, int, int]  # left, top, right, bottom


def paragraph(draw: ImageDraw.ImageDraw, box: Box, ink: int, chance: Generator) -> None:
    """Random words, in lines."""
    size = int(2 ** chance.uniform(3, 6))
    font, (left, top, right, bottom) = ImageFont.load_default(size), box
    for y in range(top // 3, bottom, int(size * 1.4)):
        line = words(max(1, (right - left) * 2 // size), chance)
        draw.text((left // 3, y), line, fill=ink, font=font)
        if chance.random() < 0.1:
            break


def box(draw: ImageDraw.ImageDraw, box: Box, ink: int, chance: Generator) -> None:
    """A rectangle, filled or not."""
    fill = int(chance.integers(0, 256)) if chance.random() < 0.6 else None
    draw.rectangle(box, fill=fill, outline=ink, width=2)


def curve(draw: ImageDraw.ImageDraw, box: Box, ink: int, chance: Generator) -> None:
    """A random walk in its axes."""
    left, top, right, bottom = box
    x = np.linspace(left, right, 60)
    y = top + (bottom - top) * (0.5 + 0.4 * np.cumsum(chance.normal(0, 0.12, 60)))
    draw.line((left, top, left, bottom, right, bottom), fill=ink, width=2)
    draw.line(list(zip(x, y, strict=True)), fill=ink, width=int(chance.integers(1, 5)))


def bars(draw: ImageDraw.ImageDraw, box: Box, ink: int, chance: Generator) -> None:
    """Bars of random heights."""
    left, top, right, bottom = box
    count = int(chance.integers(3, 12))
    wide = (right - left) / count
    for number, high in enumerate(chance.random(count)):
        x = left + wide * number
        draw.rectangle((x, bottom - high * (bottom - top), x + wide / 2, bottom), fill=ink)


def table(draw: ImageDraw.ImageDraw, box: Box, ink: int, chance: Generator) -> None:
    """Lines across and down."""
    left, top, right, bottom = box
    for row in range(chance.integers(2, 14)):
        draw.line((left, top + row * 18, right, top + row * 18), fill=ink)
    for column in range(chance.integers(1, 8)):
        draw.line((left + column * 60, top, left + column * 60, bottom), fill=ink)


def words(count: int, chance: Generator) -> str:
    """So many letters, with blanks between."""
    letters = list(ascii_letters + digits + "     .,-")
    return "".join(chance.choice(letters, count))


def blank(chance: Generator) -> Grey:
    """Blank images: one grey, a gradient, or noise."""
    height, width = shape(chance)
    y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    picture = np.full((height, width), chance.choice([0.0, 1.0, chance.random()]))
    if chance.random() < 0.5:
        picture = picture + chance.normal(0, 0.4) * x + chance.normal(0, 0.4) * y
    if chance.random() < 0.3:
        picture = picture + chance.normal(0, 0.6) * np.hypot(x - chance.normal(0, 0.4), y)
    if chance.random() < 0.3:
        grain = gaussian_filter(chance.normal(size=(height, width)), chance.uniform(0, 2))
        picture = picture + chance.uniform(0.02, 0.3) * grain / grain.std()
    return np.clip(picture, 0, 1).astype(np.float32)


def pattern(chance: Generator) -> Grey:
    """Stripes, checks, rings, dots."""
    height, width = shape(chance)
    y, x = np.mgrid[:height, :width].astype(np.float32)
    angle, wave = chance.uniform(0, np.pi), 2 ** chance.uniform(2.5, 6.5)
    u, v = x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)
    phase = 2 * np.pi / wave
    kind = chance.integers(4)
    if kind == 0:
        value = np.sin(phase * u)
    elif kind == 1:
        value = np.sin(phase * u) * np.sin(phase * v)
    elif kind == 2:
        value = np.sin(phase * np.hypot(x - width * chance.random(), y - height * chance.random()))
    else:
        spots = chance.random((height, width)) > 1 - 10 ** chance.uniform(-3.3, -2)
        value = gaussian_filter(spots.astype(np.float32), chance.uniform(1, 6))
        value = value / value.max() * 4 - 1 if value.max() > 0 else value
    hard = np.clip(value * 2 ** chance.uniform(0, 5), -1, 1)
    return (0.5 + 0.5 * chance.uniform(0.3, 1) * hard).astype(np.float32)


def ct_slice(volume: Grey, spacing: tuple[float, float, float], chance: Generator) -> Grey:
    """A slice of a CT (HU; millimetres between voxels), in any direction, window and contrast."""
    axis = int(chance.choice([0, 1, 2], p=[0.2, 0.2, 0.6]))
    at = int(chance.uniform(0.1, 0.9) * volume.shape[axis])
    plane = np.take(volume, at, axis)
    rows, columns = np.delete(np.array(spacing), axis)
    scale = SIDE / max(plane.shape[0] * rows, plane.shape[1] * columns)
    size = round(plane.shape[0] * rows * scale), round(plane.shape[1] * columns * scale)
    plane = resize(plane, size)
    plane = np.rot90(plane, 1 if chance.random() < 0.8 else chance.integers(4))
    if chance.random() < 0.25:  # other contrasts, as of magnetic resonance: any curve over HU
        curve = chance.random(8)
        curve[0] = 0
        value = np.interp(plane, [-900, -400, -120, -40, 40, 90, 250, 900], curve)
    else:
        level, width = WINDOWS[chance.integers(len(WINDOWS))]
        width *= 2 ** chance.uniform(-0.5, 0.5)
        value = (plane - level - chance.normal(0, 0.05) * width) / width + 0.5
    value = np.clip(value, 0, 1).astype(np.float32)
    least = 0.4 if chance.random() < 0.4 else 0.9
    return turned(cut(value, chance, least), chance, 0.1)


def ellipses(chance: Generator) -> Grey:
    """A synthetic slice: organs in a body, with sharp edges, as in tomography."""
    height, width = shape(chance)
    y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    wide, tall = chance.uniform(0.35, 0.95, 2)
    around = np.arctan2(y / tall, x / wide)
    radius = np.hypot(x / wide, y / tall)
    for order in (2, 3, 4):
        radius = radius * (1 + chance.normal(0, 0.03) * np.cos(order * around + chance.random()))
    picture, body = np.zeros((height, width)), chance.uniform(0.1, 0.8)
    shell = chance.uniform(0.75, 0.97)  # of skin, of fat, or of a skull
    picture[radius < 1] = chance.choice([0.15, 0.5, 0.95])
    if chance.random() < 0.4:
        picture[radius < (1 + shell) / 2] = chance.choice([0.0, 0.3, 1.0])
    inner = radius < shell
    if chance.random() < 0.4:  # folds, as of a brain
        folds = fractal((height, width), chance, 1.8)
        picture[inner] = (body + 0.25 * np.sin(folds * chance.uniform(15, 40)))[inner]
    else:
        picture[inner] = body
        tones = chance.random(5)
        for _ in range(chance.integers(3, 30)):
            picture[organ(x, y, chance) & inner] = chance.choice(tones)
    if chance.random() < 0.4:
        picture += (fractal((height, width), chance, 1.0) - 0.5) * 0.5 * (radius < 0.9)
    if chance.random() < 0.3:  # what the head or the back lies on
        rest = np.abs(np.hypot(x, y - chance.uniform(-1, 0.5)) - chance.uniform(0.8, 1.4))
        picture[(rest < 0.012) & (y > 0)] = chance.uniform(0.3, 1)
    return np.clip(gaussian_filter(picture, chance.uniform(0.3, 1.2)), 0, 1).astype(np.float32)


def organ(x: NDArray[Any], y: NDArray[Any], chance: Generator) -> NDArray[np.bool_]:
    """Where one bent ellipse lies."""
    centre, half = chance.normal(0, 0.35, 2), np.exp(chance.normal(-2, 0.7, 2))
    angle = chance.uniform(0, np.pi)
    u = (x - centre[0]) * np.cos(angle) + (y - centre[1]) * np.sin(angle)
    v = (y - centre[1]) * np.cos(angle) - (x - centre[0]) * np.sin(angle)
    bend = 1 + 0.2 * np.sin(3 * np.arctan2(v, u) + angle)
    return np.asarray(np.hypot(u / half[0], v / half[1]) < bend)


def fan(chance: Generator) -> Grey:
    """Ultrasound: layers and cysts in speckle, in a fan or a box."""
    height, width = shape(chance)
    y, x = np.mgrid[: 1 : height * 1j, -0.5 : 0.5 : width * 1j]
    tissue = fractal((height, width), chance, 2.0)
    layers = 0.5 + 0.5 * np.sin(y * chance.uniform(5, 40) + 4 * tissue)
    echo = tissue * 0.7 + layers * chance.uniform(0, 0.5)
    for _ in range(chance.integers(0, 5)):
        a, b = chance.uniform(0.03, 0.2, 2)
        hole = np.hypot((x - chance.uniform(-0.4, 0.4)) / a, (y - chance.random()) / b) < 1
        echo[hole] *= chance.uniform(0, 0.3)
    grain = gaussian_filter(chance.normal(size=(height, width)), (0.6, chance.uniform(0.6, 2)))
    speckle = np.hypot(1, grain / grain.std()) - 0.6
    value = echo * speckle * np.exp(-y * chance.uniform(0, 2)) * chance.uniform(0.5, 1.5)
    if chance.random() < 0.75:
        apex, spread = chance.uniform(-0.4, 0.0), chance.uniform(0.3, 0.9)
        angle, depth = np.abs(np.arctan2(x, y - apex)), np.hypot(x, y - apex)
        near, far = 0.02 - apex, chance.uniform(0.85, 1.1) - apex
        inside = (angle < spread) & (depth > near) & (depth < far)
        value = np.where(inside, value, 0)
    picture = np.clip(value, 0, 1).astype(np.float32)
    if chance.random() < 0.4:  # on the screen of the device
        rows, columns = chance.uniform(0.1, 0.7, 2) * picture.shape
        top, left = int(chance.uniform(0, rows)), int(chance.uniform(0, columns))
        around = (top, int(rows) - top), (left, int(columns) - left)
        picture = shrunk(lettered(np.pad(picture, around), chance, most=12))
    return picture


MADE: Sequence[tuple[Callable[[Generator], Grey], float]] = (
    (leaves, 0.36),
    (clouds, 0.1),
    (document, 0.14),
    (blank, 0.09),
    (pattern, 0.06),
    (ellipses, 0.17),
    (fan, 0.08),
)  # pictures from nothing, and how often


def made(chance: Generator) -> Grey:
    """A synthetic image that is not a film."""
    kinds, shares = zip(*MADE, strict=True)
    return kinds[chance.choice(len(kinds), p=shares)](chance)


# Augmentation of films and of other images


def damaged(picture: Grey, chance: Generator) -> Grey:
    """Curves, frames, letters, noise and compression, as films are processed in practice."""
    picture = toned(picture, chance)
    if chance.random() < 0.1:
        picture = bent(picture, chance)
    if chance.random() < 0.25:
        picture = framed(picture, chance)
    if chance.random() < 0.25:
        picture = lettered(picture, chance)
    if chance.random() < 0.25:
        picture = gaussian_filter(picture, chance.uniform(0.3, 1.3))
    if chance.random() < 0.4:
        noise = chance.normal(0, 10 ** chance.uniform(-2.5, -1.4), picture.shape)
        picture = picture + gaussian_filter(noise, chance.uniform(0, 0.8))
    picture = np.clip(picture, 0, 1).astype(np.float32)
    if chance.random() < 0.4:
        packed = io.BytesIO()
        image = Image.fromarray(np.rint(picture * 255).astype(np.uint8))
        image.save(packed, "JPEG", quality=int(chance.integers(15, 96)))
        picture = grey(Image.open(packed))
    return picture


def toned(picture: Grey, chance: Generator) -> Grey:
    """Other greys: stretched, inverted, equalised, sharpened, bent by a curve."""
    if chance.random() < 0.25:
        picture = 1 - picture
    if chance.random() < 0.15:  # towards a flat histogram
        order = np.searchsorted(np.sort(picture, axis=None), picture) / picture.size
        picture = picture + chance.uniform(0.3, 1) * (order.astype(np.float32) - picture)
    if chance.random() < 0.3:  # local contrast
        coarse = gaussian_filter(picture, chance.uniform(2, 20))
        picture = picture + chance.uniform(-0.3, 0.9) * (picture - coarse)
    if chance.random() < 0.4:
        low, high = np.percentile(picture, (chance.uniform(0, 4), 100 - chance.uniform(0, 4)))
        picture = (picture - low) / max(high - low, 0.05)
    picture = np.clip(picture, 0, 1) ** np.exp(chance.normal(0, 0.35))
    if chance.random() < 0.25:
        slope, middle = chance.uniform(3, 9), chance.uniform(0.3, 0.7)
        picture = 1 / (1 + np.exp(-slope * (picture - middle)))
    if chance.random() < 0.4:
        low, high = chance.uniform(0, 0.2), chance.uniform(0.6, 1)
        picture = low + (high - low) * picture
    return np.asarray(picture, np.float32)


def bent(picture: Grey, chance: Generator) -> Grey:
    """Turned by some degrees, as scans are; the corners are black or white."""
    height, width = picture.shape
    angle = np.radians(chance.normal(0, 8))
    y, x = np.mgrid[:height, :width].astype(np.float32)
    y, x = y - height / 2, x - width / 2
    rows = y * np.cos(angle) + x * np.sin(angle) + height / 2
    columns = x * np.cos(angle) - y * np.sin(angle) + width / 2
    outside = float(chance.choice([0.0, 1.0]))
    return map_coordinates(picture, [rows, columns], order=1, cval=outside).astype(np.float32)


def framed(picture: Grey, chance: Generator) -> Grey:
    """A border on some sides, black, white or grey."""
    sides = np.rint(chance.uniform(0, 0.2, 4) * (chance.random(4) < 0.6) * min(picture.shape))
    top, bottom, left, right = sides.astype(int)
    value = chance.choice([0.0, 1.0, chance.random()], p=[0.5, 0.35, 0.15])
    if chance.random() < 0.5:
        return np.pad(picture, ((top, bottom), (left, right)), constant_values=value)
    height, width = picture.shape
    inside = np.full((height, width), value, np.float32)
    kept = slice(top, height - bottom), slice(left, width - right)
    inside[kept] = picture[kept]
    return inside


def lettered(picture: Grey, chance: Generator, most: int = 4) -> Grey:
    """A few letters, and labels."""
    image = Image.fromarray(np.rint(np.clip(picture, 0, 1) * 255).astype(np.uint8))
    draw = ImageDraw.Draw(image)
    for _ in range(chance.integers(1, most + 1)):
        size = int(chance.uniform(0.04, 0.14) * max(picture.shape))
        text = words(int(chance.integers(1, 3) if chance.random() < 0.6 else 12), chance)
        at = chance.uniform(0, image.width * 0.9), chance.uniform(0, image.height * 0.9)
        if chance.random() < 0.2:
            draw.rectangle((*at, at[0] + 3 * size, at[1] + size), fill=int(chance.choice([0, 255])))
        draw.text(
            at, text, fill=int(chance.choice([0, 255, 200])), font=ImageFont.load_default(size)
        )
    return grey(image)
