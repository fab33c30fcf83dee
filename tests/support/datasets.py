"""Datasets of empty files or of simple films, and cases and films without files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from boneseg.dataset.case import Case
from boneseg.dataset.load import Film
from boneseg.dataset.open import Dataset
from boneseg.radiograph.film import Radiograph


def folder(root: Path, *names: str, **tables: str) -> Path:
    """A data folder with these (empty) files and tables."""
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    for name, text in tables.items():
        (root / f"{name}.csv").write_text(text, encoding="utf-8")
    return root


def case(name: str, group: str | None = None, part: str | None = None) -> Case:
    return Case(name, Path(f"{name}.png"), Path(f"{name}_mask.png"), group, part)


def limb(seed: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """A made-up film, 120 x 90, of one bright bone at a place of its own; and its mask."""
    rng = np.random.default_rng(seed)
    row, column = np.mgrid[:120, :90]
    middle, slant, width = rng.uniform(30, 60), rng.uniform(-0.2, 0.2), rng.uniform(6, 14)
    bone = (abs(column - middle - slant * (row - 60)) < width) & (row > rng.integers(5, 40))
    film = 60 + 90 * bone + rng.normal(0, 4, bone.shape) + rng.uniform(0, 40)
    return film.clip(0, 255).astype(np.uint8), (bone * 255).astype(np.uint8)


def add(
    data: Path, name: str, film: NDArray[np.uint8] | None, mask: NDArray[np.uint8] | None
) -> None:
    for folder, values in (("images", film), ("masks", mask)):
        if values is not None:
            Image.fromarray(values).save(data / folder / f"{name}.png")


def decoded(name: str) -> Film:
    """A decoded film, 24 x 16, with a mask of its upper half."""
    pixels = np.linspace(0, 1, 24 * 16, dtype=np.float32).reshape(24, 16)
    mask = np.arange(24)[:, None].repeat(16, 1) < 12
    path = Path(f"{name}.png")
    return Film(Case(name, path, path), Radiograph(pixels, None, "unknown", path), mask)


def paired(dataset: Dataset) -> dict[str, str]:
    return {case.image.name: case.mask.name for case in dataset.cases}
