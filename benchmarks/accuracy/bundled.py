"""The bundled model on unseen real films and on simulated ones: `results/bundled-model.md`.

    python -m benchmarks.accuracy.bundled --data ../shared/data --work runs/bundled

The labelled sets name some bones of each film and leave others out, and so a model that finds every
bone is scored by the recall of what is labelled, and by Dice only in rows where nothing else is:
the middle of the femur. What it finds on the unlabelled films is drawn into the work folder.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from boneseg._util.drawing.overlay import overlay
from boneseg.bundle.shipped import bundled
from boneseg.bundle.store import load_bundle
from boneseg.dataset.load import read_films
from boneseg.dataset.open import open_dataset
from boneseg.evaluation.statistics import bootstrap_ci95
from boneseg.inference.engine import Engine
from boneseg.masks.formats.png import save_png
from boneseg.radiograph.read import read_radiograph
from boneseg.simulate import SkeletonSource

Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Measure:
    """The measure of a labelled set: recall, or Dice in a range of the mask's rows."""

    films: str
    rows: tuple[float, float] | None
    goal: float

    @property
    def name(self) -> str:
        if self.rows is None:
            return "recall of the labelled bone"
        return f"Dice in the rows at {self.rows[0]:.0%} to {self.rows[1]:.0%} of the mask"

    def __call__(self, found: Mask, truth: Mask) -> float:
        if self.rows is None:
            return float((found & truth).sum() / truth.sum())
        filled = np.flatnonzero(truth.any(axis=1))
        top, tall = filled[0], filled[-1] - filled[0]
        chosen = slice(round(top + self.rows[0] * tall), round(top + self.rows[1] * tall))
        both = int((found[chosen] & truth[chosen]).sum())
        return 2 * both / int(found[chosen].sum() + truth[chosen].sum())


MEASURES = (
    Measure("legs", None, 0.95),
    Measure("knee-femur", None, 0.95),
    Measure("knee-tibia", None, 0.95),
    Measure("spine", None, 0.90),
    Measure("legs", (0.15, 0.40), 0.93),
    Measure("knee-femur", (0.0, 0.60), 0.93),
)


SIDE = 512  # px, the longer side of a simulated film that is scored
ARMS = {"hand", "wrist", "forearm", "elbow", "upper arm"}
LEGS = {"foot", "ankle", "lower leg", "knee", "thigh", "full leg"}


def main() -> None:
    words = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    words.add_argument("--data", type=Path, default=Path("../shared/data"))
    words.add_argument("--work", type=Path, default=Path("runs/bundled"))
    words.add_argument("--model", type=Path, default=None, help="another bundle")
    words.add_argument("--every", type=int, default=1, help="look at each so-manieth film")
    words.add_argument("--simulated", type=int, default=480, help="films of unseen seeds")
    asked = words.parse_args()
    engine = Engine(load_bundle(asked.model or bundled()))
    asked.work.mkdir(parents=True, exist_ok=True)
    document = {
        "labelled": list(labelled(engine, asked.data, asked.every)),
        "simulated": simulated(engine, asked.data, asked.simulated),
    }
    draw_unlabelled(engine, asked.data, asked.work)
    (asked.work / "figures.json").write_text(json.dumps(document, indent=2) + "\n")


def labelled(engine: Engine, data: Path, every: int) -> Iterator[dict[str, object]]:
    """A row of the table for each measure."""
    print("| set | films | measure | found (95 %) | goal |\n|---|---|---|---|---|")
    masks: dict[str, list[tuple[Mask, Mask]]] = {}
    for measure in MEASURES:
        if measure.films not in masks:
            films = read_films(open_dataset(data / measure.films).cases[::every])
            found = [(engine.segment(film.radiograph.pixels), film.mask) for film in films]
            masks[measure.films] = found
        scores = [measure(found, truth) for found, truth in masks[measure.films]]
        low, high = bootstrap_ci95(np.array(scores))
        mean = float(np.mean(scores))
        print(
            f"| {measure.films} | {len(scores)} | {measure.name} "
            f"| {mean:.4f} ({low:.4f} to {high:.4f}) | {measure.goal} |",
            flush=True,
        )
        yield {"films": measure.films, "measure": measure.name, "mean": mean, "ci95": [low, high]}


def simulated(engine: Engine, data: Path, count: int) -> dict[str, list[float]]:
    """Dice by part on films of unseen seeds, and its means and medians."""
    folder = data / "skeleton"
    models = tuple(folder / "models" / f"{name}.osim" for name in ("Rajagopal2016", "wrist"))
    source = SkeletonSource(folder / "meshes", models)
    scores: dict[str, list[float]] = {}
    for seed in range(count):
        film = source.film(10**8 + seed, (SIDE, SIDE))
        if film.mask.any():
            found = engine.segment(film.pixels)
            dice = 2 * (found & film.mask).sum() / (found.sum() + film.mask.sum())
            scores.setdefault(film.part, []).append(float(dice))
    print("| simulated | films | Dice, mean | median |\n|---|---|---|---|")
    groups = {part: [part] for part in sorted(scores)}
    groups |= {"arms and legs": [*ARMS & set(scores), *LEGS & set(scores)], "all": list(scores)}
    for name, parts in groups.items():
        if values := [dice for part in parts for dice in scores[part]]:
            print(f"| {name} | {len(values)} | {np.mean(values):.3f} | {np.median(values):.3f} |")
    return scores


def draw_unlabelled(
    engine: Engine, data: Path, out: Path, cell: int = 360, columns: int = 6
) -> None:
    """A contact sheet of the predictions on unlabelled films."""
    paths = [*sorted((data / "unlabelled").glob("*.png")), *sorted((data / "dicom").glob("*.dcm"))]
    for name in ("legs", "spine", "knee-femur", "knee-tibia"):
        paths += sorted((data / name / "images").glob("*.png"))[:3]
    sheet = Image.new("RGB", (columns * cell, -(-len(paths) // columns) * cell))
    for index, path in enumerate(paths):
        pixels = read_radiograph(path).pixels
        image = Image.fromarray(overlay(pixels, engine.segment(pixels)))
        image.thumbnail((cell, cell))
        at = (index % columns * cell, index // columns * cell)
        sheet.paste(image, at)
        ImageDraw.Draw(sheet).text((at[0] + 4, at[1] + 4), path.stem, fill=(255, 255, 0))
    save_png(out / "unlabelled.png", sheet)


if __name__ == "__main__":
    main()
