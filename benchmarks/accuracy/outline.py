"""What the second grid changes on large simulated films: `results/outline.md`.

    boneseg simulate --out films/test --count 96 --size 1024 --seed 21000000 --kind skeleton ...
    python -m benchmarks.accuracy.outline films/test

NSD at 2 px, Dice, and the processor time of segmenting a film, on the working grid alone and with
the second grid; how far the outlines of the former are off; and what a perfect answer there would
reach. A set that `boneseg simulate` is still writing will do.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from benchmarks.accuracy.bundled import ARMS, LEGS
from boneseg.bundle.shipped import bundled
from boneseg.bundle.store import load_bundle
from boneseg.evaluation.metrics import MaskPair
from boneseg.evaluation.scores import score
from boneseg.inference.engine import Engine
from boneseg.preprocessing import Floats
from scripts.simulated_pools import films_of

Mask = NDArray[np.bool_]
WITHIN = (1, 2, 4, 8, 16)  # px


@dataclass(frozen=True)
class Film:
    """A simulated film of 1024 px, and its bone."""

    part: str
    pixels: Floats
    mask: Mask


@dataclass(frozen=True)
class Row:
    """The figures of a film: on the working grid alone, and on both grids."""

    part: str
    ideal: float  # NSD of the true mask, on the working grid and back
    nsd: tuple[float, float]
    dice: tuple[float, float]
    seconds: tuple[float, float]  # of processor time
    within: tuple[float, ...]  # share of both outlines within `WITHIN` of the other, on the former


def main() -> None:
    words = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    words.add_argument("films", type=Path, help="a folder that `boneseg simulate` wrote")
    words.add_argument("--model", type=Path, default=bundled(), help="a bundle")
    words.add_argument("--scales", type=float, nargs="+", default=(0.8,), help="of more grids")
    words.add_argument("--every", type=int, default=1, help="use each n-th film")
    asked = words.parse_args()
    bundle = load_bundle(asked.model)
    single = replace(bundle, card=replace(bundle.card, scales=()))
    double = replace(bundle, card=replace(bundle.card, scales=tuple(asked.scales)))
    engines = (Engine(single), Engine(double))
    rows = [row for film in films(asked.films, asked.every) if (row := measured(film, engines))]
    limbs = [row for row in rows if row.part in ARMS | LEGS]
    print(
        "| films | | NSD at 2 px | both grids | Dice | both grids | ideal NSD | "
        + " | ".join(f"within {px} px" for px in WITHIN)
        + " | processor time |\n|---|"
        + "---|" * (len(WITHIN) + 7)
    )
    parts = {
        part: [row for row in rows if row.part == part] for part in sorted({r.part for r in rows})
    }
    for name, group in {**parts, "limbs": limbs, "all": rows}.items():
        if group:
            print(line(name, group))


def films(folder: Path, every: int) -> Iterator[Film]:
    """The finished films of a set."""
    for part, path in films_of(folder)[::every]:
        pixels, mask = (
            np.asarray(Image.open(folder / kind / path.name).convert("L"))
            for kind in ("images", "masks")
        )
        yield Film(part, pixels.astype(np.float32) / 255, mask > 127)


def measured(film: Film, engines: tuple[Engine, Engine]) -> Row | None:
    """The figures of a film; None without bone."""
    if not film.mask.any():
        return None
    masks, seconds = [], []
    for engine in engines:
        engine.find(film.pixels)  # compile the network for this size
        start = time.process_time()
        masks.append(engine.find(film.pixels).mask)
        seconds.append(time.process_time() - start)
    plain, fine = (score(mask, film.mask, None) for mask in masks)
    preparation = engines[0].bundle.preparation((film.mask.shape[0], film.mask.shape[1]))
    place = preparation.place((film.mask.shape[0], film.mask.shape[1]))
    truth = preparation.mask(film.mask, place).astype(np.float32)
    ideal = preparation.restore(truth, place) >= 0.5
    return Row(
        film.part,
        score(ideal, film.mask, None).nsd,
        (plain.nsd, fine.nsd),
        (plain.dice, fine.dice),
        (seconds[0], seconds[1]),
        within(masks[0], film.mask),
    )


def within(found: Mask, truth: Mask) -> tuple[float, ...]:
    """The share of both outlines that is within each of `WITHIN` of the other."""
    if not found.any():
        return (0.0,) * len(WITHIN)
    distances = np.concatenate(MaskPair(found, truth).distances)
    return tuple(float((distances <= px).mean()) for px in WITHIN)


def line(name: str, rows: list[Row]) -> str:
    """A row of the table: means over films."""
    nsd, dice, seconds = (
        np.mean([getattr(row, what) for row in rows], axis=0) for what in ("nsd", "dice", "seconds")
    )
    shares = np.mean([row.within for row in rows], axis=0)
    cells = [name, str(len(rows)), *(f"{one:.3f}" for one in (*nsd, *dice))]
    cells += [f"{np.mean([row.ideal for row in rows]):.3f}", *(f"{share:.3f}" for share in shares)]
    return "| " + " | ".join([*cells, f"{seconds[1] / seconds[0]:.2f} x"]) + " |"


if __name__ == "__main__":
    main()
