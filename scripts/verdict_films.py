"""Films and masks that `scripts/train_verdict.py` learns from, kept in a work folder.

Films are those of pools that `boneseg simulate` wrote, or is still writing. Each is segmented by
two of the given models: a good and a poor one, in the mean. What is kept of a film are maps of
KEPT x KEPT px: of the film, its bone, the bone that it does not show, the bone that each pixel
belongs to; and of each model its probability, its mask and the difference of its views.
"""

from __future__ import annotations

import csv
import zlib
from collections import Counter, defaultdict
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from boneseg.inference.engine import Engine
from boneseg.inference.temperature import scaled
from boneseg.inference.verdict.evidence import predictions
from boneseg.preprocessing import Floats, in_squares, resize
from boneseg.radiograph.film import Radiograph
from boneseg.radiograph.read import read_radiograph

KEPT = 160  # px, of the maps
PROJECTIONS = ("frontal", "lateral", "oblique")
PER_FILM = 2  # models that segment each film
CHUNK = 480  # films between changes of the model

Bytes = NDArray[np.uint8]


@dataclass(frozen=True)
class Source:
    """A simulated film on disk."""

    path: Path
    part: str
    projection: str  # empty where the table has none

    @property
    def key(self) -> str:
        """A name that no other film has."""
        return f"{zlib.crc32(str(self.path.parents[1]).encode()):08x}_{self.path.stem}"

    def choice(self, what: str, among: int) -> int:
        """A number below `among`, always the same for this film and `what`."""
        return zlib.crc32(f"{what} {self.path.name}".encode()) % among


def sources(pools: list[Path], most: int) -> list[Source]:
    """The films of pools with their labels, at most `most` of a part, in an order of chance."""
    found: list[Source] = []
    for pool in pools:
        table = next(
            (pool / n for n in ("views.csv", "unfinished.csv") if (pool / n).exists()), None
        )
        if table is None:
            continue
        with table.open(newline="") as file:
            rows = [row for row in csv.reader(file) if len(row) > 3]
        names = rows.pop(0) if rows and rows[0][0] == "name" else None
        where = names.index("projection") if names and "projection" in names else 2
        for row in rows:
            path = pool / "images" / f"{row[0]}.png"
            if path.exists():
                projection = row[where] if row[where] in PROJECTIONS else ""
                found.append(Source(path, row[1], projection))
    found.sort(key=lambda source: source.choice("order", 1 << 32))
    counts: Counter[str] = Counter()
    chosen = []
    for source in found:
        counts[source.part] += 1
        if counts[source.part] <= most:
            chosen.append(source)
    return chosen


def keep(films: list[Source], models: list[Path], poor: list[Path], work: Path) -> None:
    """Segment the films that are not kept yet, and keep their maps."""
    for start in range(0, len(films), CHUNK):
        jobs: dict[Path, list[Source]] = defaultdict(list)
        for film in films[start : start + CHUNK]:
            good, bad = (group[film.choice(name, len(group))]
                         for name, group in (("good", models), ("poor", poor)))  # fmt: skip
            for model in (good, bad):
                if not (work / model.name / f"{film.key}.npz").exists():
                    jobs[model].append(film)
        for model, some in jobs.items():
            (work / model.name).mkdir(parents=True, exist_ok=True)
            engine = Engine(model)
            read = [(film, read_radiograph(film.path)) for film in some if film.path.exists()]
            for film, radiograph in sorted(read, key=lambda one: one[1].pixels.shape):
                _save(work / model.name / f"{film.key}.npz", _predicted(engine, radiograph))
                if not (work / f"{film.key}.npz").exists():
                    _save(work / f"{film.key}.npz", _truth(film, radiograph, engine))
        print(f"{min(start + CHUNK, len(films))} of {len(films)} films", flush=True)


def _predicted(engine: Engine, film: Radiograph) -> dict[str, NDArray[np.generic]]:
    card = engine.bundle.card
    shape = (film.pixels.shape[0], film.pixels.shape[1])
    preparation = engine.bundle.preparation(in_squares(shape, film.aspect))
    grid, place = preparation.film(film.pixels, film.aspect)
    views = scaled(engine._predicted(engine._films(grid, 2 if card.flips else 1)), card.temperature)
    seen = predictions(grid, place, views, card.threshold)
    maps = {"probability": _bytes(seen.probability), "mask": _bytes(seen.mask)}
    if seen.difference is not None:
        maps["difference"] = _bytes(seen.difference)
    return maps | {"agreement": np.float32(seen.agreement)}


def _truth(film: Source, radiograph: Radiograph, engine: Engine) -> dict[str, NDArray[np.generic]]:
    folder = film.path.parents[1]
    height, width = radiograph.pixels.shape
    truth = _picture(folder / "masks" / film.path.name)
    hidden = folder / "hidden" / film.path.name
    low, high = radiograph.pixels.min(), radiograph.pixels.max()
    return {
        "film": _bytes((radiograph.pixels - low) / max(float(high - low), 1e-6)),
        "truth": _bytes(truth),
        "hidden": _bytes(_picture(hidden) if hidden.exists() else np.zeros_like(truth)),
        "bones": _bones(folder / "bones" / f"{film.path.stem}.npz", truth),
        "aspect": np.float32(width / height),
    }


def _bones(path: Path, truth: Floats) -> Bytes:
    """The number of a bone at each pixel, from 1; 0 where there is none, or none is known."""
    rows, columns = (((np.arange(KEPT) + 0.5) * side / KEPT).astype(int) for side in truth.shape)
    numbers = np.zeros((KEPT, KEPT), np.uint8)
    if path.exists():
        with np.load(path) as file:
            masks = file["masks"] if "masks" in file.files else [file[n] for n in file.files]
            for number, mask in enumerate(masks[:255], 1):
                numbers[np.asarray(mask)[np.ix_(rows, columns)] > 0] = number
    return numbers


def _picture(path: Path) -> Floats:
    return (np.asarray(Image.open(path)) > 127).astype(np.float32)


def _bytes(pixels: Floats) -> Bytes:
    return np.rint(255 * np.clip(resize(pixels, (KEPT, KEPT)), 0, 1)).astype(np.uint8)


def _save(path: Path, maps: dict[str, NDArray[np.generic]]) -> None:
    new = path.with_suffix(".new.npz")
    np.savez_compressed(new, **maps)  # type: ignore[arg-type]
    new.replace(path)
