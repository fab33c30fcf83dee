"""Folders of simulated films on the working grid: what the bundled model's trainings draw from.

pools = Pools([Path("films/chest"), Path("films/knee")], Preparation(320, 320))
pools.read_new()                       # again whenever `boneseg simulate` may have written more
batch = pools.batch(4, rng)
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from boneseg.preprocessing import Placement, Preparation, locally_normalised, standardised
from boneseg.simulate.bones import NAMES

NORMALISED = 0.35  # share of films that are contrast-normalised, as half of inference is
# Share of films shown by a power of their grey values, and its range: above 1 flesh is nearly
# black, below 1 nearly as bright as bone. Of other parts: `OTHERS`.
POWERS = {
    "pelvis": (0.5, 1.3, 2.6), "hip": (0.5, 1.3, 2.6),
    "skull": (0.5, 0.35, 0.8), "neck": (0.3, 0.35, 0.8),
}  # fmt: skip
OTHERS = (0.15, 1.3, 2.6)
# Parts whose hidden bone hardly counts in trainings: it lies behind organs, or on a black exposure
# of a stitched film.
HIDING = ("chest", "trunk", "ct", "lumbar spine", "shoulder", "neck", "whole body", "full leg")


@dataclass(frozen=True)
class Film:
    """A film on the working grid, plain and contrast-normalised; its bone, and what is hidden.

    bones: the mask of each bone by its index in `NAMES`, as packed bits; None if not known.
    """

    plain: NDArray[np.float16]
    normalised: NDArray[np.float16]
    mask: NDArray[np.bool_]
    hidden: NDArray[np.bool_]
    bones: dict[int, NDArray[np.uint8]] | None

    def target(self, named: bool) -> NDArray[np.float32]:
        """Mask and hidden bone, and if `named` each of `NAMES`: float32 C x H x W."""
        target = np.zeros((2 + len(NAMES) * named, *self.mask.shape), np.float32)
        target[:2] = self.mask, self.hidden
        for bone, bits in (self.bones or {}).items() if named else ():
            target[2 + bone].flat = np.unpackbits(bits, count=self.mask.size)
        return target


@dataclass
class Pools:
    """The films of some folders by body part, read as they are written.

    chances: how often a film of each part is drawn, relative to the others; of any other: 0.03.
    named: only films with the mask of each bone, and these as targets.
    """

    folders: list[Path]
    preparation: Preparation
    chances: Mapping[str, float]
    named: bool = False
    films: dict[str, list[Film]] = field(default_factory=dict)
    known: set[Path] = field(default_factory=set)

    def read_new(self) -> int:
        """Read the films that were finished since the last call; return the number of all."""
        for part, path in new_films(self.folders, self.known):
            film = self._read(path, part)
            if film.bones or not self.named:
                self.films.setdefault(part, []).append(film)
        return sum(map(len, self.films.values()))

    def _read(self, path: Path, part: str) -> Film:
        pixels = np.asarray(Image.open(path).convert("L"), np.float32) / 255
        grid, place = self.preparation.film(pixels)
        mask = self.preparation.mask(mask_of(path, "masks"), place)
        hidden = np.zeros_like(mask)
        if part in HIDING and (path.parents[1] / "hidden" / path.name).exists():
            hidden = self.preparation.mask(mask_of(path, "hidden"), place)
        half = np.float16
        return Film(
            grid.astype(half),
            locally_normalised(grid).astype(half),
            mask,
            hidden,
            self._bones(path, place),
        )

    def _bones(self, path: Path, place: Placement) -> dict[int, NDArray[np.uint8]] | None:
        file = path.parents[1] / "bones" / f"{path.stem}.npz"
        if not file.exists():
            return None
        with np.load(file) as found:
            pairs = list(zip(found["names"].tolist(), found["masks"], strict=True))
        if not all(name in NAMES for name, _ in pairs):
            return None
        return {
            NAMES.index(name): np.packbits(self.preparation.mask(mask, place))
            for name, mask in pairs
        }

    def batch(self, size: int, rng: np.random.Generator) -> tuple[Tensor, Tensor, list[str]]:
        """Films N x 1 x H x W; masks and hidden bone, and bones if `named`; all float32; parts.

        The targets are N x 2 x H x W, or N x 26 x H x W.
        """
        parts = sorted(self.films)
        chances = np.array([self.chances.get(part, 0.03) for part in parts])
        films, targets = [], []
        drawn = [str(part) for part in rng.choice(parts, size, p=chances / chances.sum())]
        for part in drawn:
            film = self.films[part][rng.integers(len(self.films[part]))]
            normalised = rng.random() < NORMALISED
            share, low, high = POWERS.get(part, OTHERS)
            if rng.random() < share:
                grid = by_power(film.plain.astype(np.float32), float(rng.uniform(low, high)))
                films.append(locally_normalised(grid) if normalised else grid)
            else:
                films.append(film.normalised if normalised else film.plain)
            targets.append(film.target(self.named))
        stacked = torch.from_numpy(np.stack(films).astype(np.float32))[:, None]
        return stacked, torch.from_numpy(np.stack(targets)), drawn


def new_films(folders: Iterable[Path], known: set[Path]) -> Iterator[tuple[str, Path]]:
    """Part and image of each film in these folders that is not yet known; it is from then on."""
    for folder in folders:
        for part, path in films_of(folder):
            if path not in known:
                known.add(path)
                yield part, path


def films_of(folder: Path) -> list[tuple[str, Path]]:
    """Part and image of each film in a folder; none where `boneseg simulate` has just begun."""
    tables = [folder / name for name in ("parts.csv", "unfinished.csv")]
    if not (found := [table for table in tables if table.exists()]):
        return []
    with found[0].open() as file:
        rows = [row for row in csv.reader(file) if len(row) > 1]
    films = [(part, folder / "images" / f"{name}.png") for name, part, *_ in rows]
    return [(part, path) for part, path in films if path.exists()]


def by_power(grid: NDArray[np.float32], exponent: float) -> NDArray[np.float32]:
    """A film on the working grid, float32 H x W, shown by a power of its grey values."""
    low, high = float(grid.min()), float(grid.max())
    shown = ((grid - low) / max(high - low, 1e-6)) ** exponent
    return standardised(shown.astype(np.float32)) * (grid != 0)  # padding stays 0


def mask_of(image: Path, kind: str) -> NDArray[np.bool_]:
    """The mask of a film: "masks", or "hidden" bone."""
    return np.asarray(Image.open(image.parents[1] / kind / image.name)) > 127
