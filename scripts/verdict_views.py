"""Examples that `scripts/train_verdict.py` learns from: views of kept films, with their answers.

A view is a film as it could have come from another machine (contrast, inversion, blur, noise,
letters, borders, compression, crops, mirror images), with the mask of a model or a worse one:
holes filled, bones missing, edges moved, all of the trunk filled, nothing found.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from boneseg.inference.verdict.evidence import Evidence, Predictions
from boneseg.preprocessing import Floats, resize
from scripts import film_check_pictures as pictures

CELLS = 12  # of the grid on which errors are predicted, along each side
NEAR = 6  # cells from bone within which it matters what is left out
QUALITIES = ("dice", "balanced", "sensitivity", "precision")

WAYS = {  # of making masks worse, and how often
    "fill": 0.12, "smooth": 0.14, "lose": 0.18, "blobs": 0.18, "grow": 0.13, "shift": 0.05,
    "hull": 0.08, "true": 0.09, "none": 0.03,
}  # fmt: skip

Maps = dict[str, Floats]  # H x W in [0, 1]; `bones` holds numbers


@dataclass(frozen=True)
class Example:
    """A view and its answers.

    every: whether the mask should have every bone, not only those of some task. quality: of
    QUALITIES, NaN where it is undefined. errors: 2 x CELLS x CELLS, the share of a cell that is
    bone by mistake, and that lacks bone. bone: the share of film that is visible bone.
    """

    seen: Evidence
    every: bool
    quality: Floats
    errors: Floats


def read_maps(film: Path, model: Path) -> tuple[Maps, float, float]:
    """The kept maps of a film and of a model's prediction, its aspect, the views' agreement."""
    maps: Maps = {}
    with np.load(film) as truth, np.load(model) as found:
        for file, names in ((truth, ("film", "truth", "hidden")),
                            (found, ("probability", "mask", "difference"))):  # fmt: skip
            for name in names:
                if name in file.files:
                    maps[name] = file[name].astype(np.float32) / 255
        maps["bones"] = truth["bones"].astype(np.float32)
        return maps, float(truth["aspect"]), float(found["agreement"])


def example(
    maps: Maps, aspect: float, agreement: float, chance: Generator | None = None
) -> Example:
    """An example: the film and prediction as they are, or a random view of them."""
    every = True
    if chance is not None:
        maps = dict(maps)
        if "difference" in maps and chance.random() < 0.15:
            del maps["difference"]
        every = chance.random() < 0.8
        if not every and maps["bones"].any() and chance.random() < 0.7:
            choose_bones(maps, chance)
        if chance.random() < 0.45:
            worsen(maps, chance)
        maps, aspect = reframe(maps, aspect, chance)
        maps["film"] = redevelop(maps["film"], chance)
        agreement = float(np.clip(agreement + chance.normal(0, 0.01), 0, 1))
    seen = Predictions(
        maps["film"], maps["probability"], maps["mask"], maps.get("difference"), agreement
    ).evidence(aspect)
    return Example(seen, every, qualities(maps), errors(maps))


def choose_bones(maps: Maps, chance: Generator) -> None:
    """Make some of the bones the task of a model: the others are neither bone nor found."""
    numbers = np.unique(maps["bones"])[1:]
    kept = numbers[chance.random(len(numbers)) < chance.uniform(0.2, 0.9)]
    others = (maps["bones"] > 0) & ~np.isin(maps["bones"], kept)
    for name in ("truth", "mask", "probability", "difference", "hidden"):
        if name in maps:
            maps[name] = np.where(others, 0, maps[name]).astype(np.float32)


def worsen(maps: Maps, chance: Generator) -> None:
    """Make the mask worse, or at times right."""
    mask = maps["mask"]
    kind = chance.choice(list(WAYS), p=list(WAYS.values()))
    if kind == "fill":  # holes and the spaces between bones
        size = int(chance.integers(3, 22))
        new = ndimage.grey_closing(mask, size=(size, size))
    elif kind == "smooth":  # all of the trunk
        new = (
            ndimage.gaussian_filter(mask, chance.uniform(3, 12)) > chance.uniform(0.2, 0.55)
        ) * 1.0
        new = np.maximum(new, mask)
    elif kind == "lose":
        new = mask * ~_blobs(mask.shape, chance, 0.25)
    elif kind == "blobs":
        new = np.maximum(mask, _blobs(mask.shape, chance, 0.15))
    elif kind == "grow":
        size = int(chance.integers(2, 6))
        grown = ndimage.grey_dilation if chance.random() < 0.6 else ndimage.grey_erosion
        new = grown(mask, size=(size, size))
    elif kind == "shift":
        new = np.roll(mask, chance.integers(-8, 9, 2), (0, 1))
    elif kind == "hull":
        rows, columns = np.nonzero(mask > 0.5)
        new = mask.copy()
        if len(rows):
            new[rows.min() : rows.max(), columns.min() : columns.max()] = 1
    elif kind == "true":
        new = np.clip(maps["truth"] * 1.02, 0, 1)
    else:
        new = mask * 0
    changed = np.abs(new - mask)
    soft = ndimage.gaussian_filter(new.astype(np.float32), chance.uniform(0.3, 2.0))
    doubt = chance.uniform(0, 0.45) * chance.integers(2)  # a wrong region may look sure or not
    probability = np.where(changed > 0.3, soft * (1 - doubt), maps["probability"])
    maps["mask"] = np.asarray(new, np.float32)
    maps["probability"] = np.asarray(probability, np.float32)
    if "difference" in maps:
        much = chance.uniform(0, 0.5) * chance.integers(2)
        maps["difference"] = np.where(changed > 0.3, much, maps["difference"]).astype(np.float32)


def reframe(maps: Maps, aspect: float, chance: Generator) -> tuple[Maps, float]:
    """Mirror, crop or frame all maps alike."""
    if chance.random() < 0.5:
        maps = {name: value[:, ::-1] for name, value in maps.items()}
    side = maps["film"].shape[0]
    if chance.random() < 0.35:
        tall, wide = (chance.uniform(0.75, 1, 2) * side).astype(int)
        top, left = chance.integers(0, side - tall + 1), chance.integers(0, side - wide + 1)
        maps = {n: v[top : top + tall, left : left + wide] for n, v in maps.items()}
        aspect *= wide / tall
    if chance.random() < 0.3:
        tall, wide = maps["film"].shape
        sides = np.rint(chance.uniform(0, 0.22, 4) * (chance.random(4) < 0.7) * side).astype(int)
        value = chance.choice([0.0, 1.0, chance.random()], p=[0.6, 0.25, 0.15])
        around = ((sides[0], sides[1]), (sides[2], sides[3]))
        maps = {n: np.pad(v, around, constant_values=value if n == "film" else 0)
                for n, v in maps.items()}  # fmt: skip
        aspect *= (maps["film"].shape[1] / wide) / (maps["film"].shape[0] / tall)
    return maps, aspect


def redevelop(film: Floats, chance: Generator) -> Floats:
    """Other greys, sharpness, noise, letters and compression: `film_check_pictures.damaged`."""
    film = pictures.toned(film, chance)
    if chance.random() < 0.3:
        film = pictures.lettered(film, chance)
    if chance.random() < 0.3:
        film = ndimage.gaussian_filter(film, chance.uniform(0.3, 1.5))
    if chance.random() < 0.4:
        noise = chance.normal(0, 10 ** chance.uniform(-2.5, -1.2), film.shape)
        film = film + ndimage.gaussian_filter(noise, chance.uniform(0, 1.0))
    if chance.random() < 0.25:  # heel effect, uneven exposure
        y, x = np.mgrid[-1 : 1 : film.shape[0] * 1j, -1 : 1 : film.shape[1] * 1j]
        film = film * (1 + chance.normal(0, 0.25) * x + chance.normal(0, 0.25) * y)
    film = np.clip(film, 0, 1).astype(np.float32)
    if chance.random() < 0.3:
        packed = io.BytesIO()
        image = Image.fromarray(np.rint(film * 255).astype(np.uint8))
        image.save(packed, "JPEG", quality=int(chance.integers(15, 96)))
        film = pictures.grey(Image.open(packed))
    return film


def qualities(maps: Mapping[str, Floats]) -> Floats:
    """The QUALITIES of a mask, over what the film shows."""
    seen = 1 - maps["hidden"] * (maps["truth"] > 0)
    truth, mask = maps["truth"] * seen, maps["mask"] * seen
    both, bone, found = (float(v.sum()) for v in (np.minimum(truth, mask), truth, mask))
    dice = 2 * both / (bone + found) if bone + found > 1 else 1.0
    sensitivity = both / bone if bone > 1 else np.nan
    precision = both / found if found > 1 else np.nan
    return np.array([dice, _balanced(maps), sensitivity, precision], np.float32)


def _balanced(maps: Mapping[str, Floats]) -> float:
    """(Share of bone found + share of the rest left out) / 2, over cells that are all one of them.

    As of `probes.json`: cells of 1/40 of the film in the middle of bone, or near it without bone.
    """
    cells = 40
    truth, mask, hidden = (resize(maps[n], (cells, cells)) for n in ("truth", "mask", "hidden"))
    bone = (truth > 0.97) & (hidden < 0.1)
    if bone.sum() < 5:  # thin bones
        bone = (truth > 0.6 * truth.max()) & (hidden < 0.3)
    near = ndimage.binary_dilation(truth > 0.3, iterations=NEAR)
    other = (truth < 0.02) & near
    parts = [
        mask[bone].mean() if bone.any() else np.nan,
        1 - mask[other].mean() if other.any() else np.nan,
    ]
    return float(np.nanmean(parts)) if bone.any() or other.any() else np.nan


def errors(maps: Mapping[str, Floats]) -> Floats:
    """The shares of each cell that are bone by mistake, and that lack bone."""
    seen = 1 - maps["hidden"] * (maps["truth"] > 0)
    wrong = (maps["mask"] - maps["truth"]) * seen
    both = [resize(np.maximum(sign * wrong, 0), (CELLS, CELLS)) for sign in (1, -1)]
    return np.clip(np.stack(both), 0, 1)


def _blobs(shape: tuple[int, ...], chance: Generator, most: float) -> NDArray[np.bool_]:
    """Some smooth regions: up to about `most` of the film."""
    noise = ndimage.gaussian_filter(chance.normal(size=shape), chance.uniform(3, 14), mode="wrap")
    return np.asarray(noise > np.quantile(noise, 1 - most * chance.uniform(0.1, 1)))
