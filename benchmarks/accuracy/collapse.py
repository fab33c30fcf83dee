"""How often the original's settings collapse, and how often the guard misses a collapse.

    python -m benchmarks.accuracy.collapse

Short runs of `seed-deep` and of `seed-unet` from 20 seeds each, on phantom films, with the guard
and without. A run has collapsed if its mask is empty, or full, or no better than the best constant
one, on its validation films: the fifth fold of the original was reported so, with a Dice of 0.0008.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from benchmarks.common import keep, known, one_a_core, write_section
from boneseg.dataset.open import Dataset, open_dataset
from boneseg.errors import TrainingError
from boneseg.recipes.builtin import load_recipe
from boneseg.simulate import simulate
from boneseg.training.collapse_guard import MARGIN
from boneseg.training.train import train

SEEDS = range(20)


def main() -> None:
    words = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    words.add_argument("--epochs", type=int, default=12)
    asked = words.parse_args()
    lines = [
        f"Made by `python -m benchmarks.accuracy.collapse`: {asked.epochs} epochs at 128 x 128"
        f" on 40 phantom films, seeds 0 to {SEEDS[-1]}.",
        "",
        "| recipe | guard | collapsed at the end | restarts | mean validation Dice |",
        "|---|---|---|---|---|",
    ]
    with tempfile.TemporaryDirectory() as folder, one_a_core() as pool:
        simulate(Path(folder) / "films", 40, size=(128, 128))
        films = open_dataset(Path(folder) / "films")
        for name in ("seed-deep", "seed-unet"):
            for guard in (False, True):
                kept = f"collapse/{name}-{'guarded' if guard else 'plain'}-{asked.epochs}"
                if not known(kept):
                    jobs = [pool.submit(one, films, name, guard, s, asked.epochs) for s in SEEDS]
                    keep(kept, [job.result() for job in jobs])
                ends = known(kept)
                collapsed = sum(end[0] for end in ends)
                dice = sum(end[2] for end in ends) / len(SEEDS)
                lines.append(
                    f"| `{name}` | {'on' if guard else 'off'} | {collapsed} of {len(SEEDS)} "
                    f"| {sum(end[1] for end in ends)} | {dice:.4f} |"
                )
                print(lines[-1], flush=True)
    write_section("Collapse", lines)


def one(films: Dataset, name: str, guard: bool, seed: int, epochs: int) -> tuple[bool, int, float]:
    """Whether a run had collapsed at its end, its restarts, and its best Dice."""
    settings = ["prepare.height=128", "prepare.width=128", f"run.epochs={epochs}"]
    settings += [f"run.seed={seed}", f"run.guard={str(guard).lower()}"]
    recipe = load_recipe(name).with_settings(settings)
    with tempfile.TemporaryDirectory() as out:
        try:
            run = train(films, recipe, Path(out) / "run")
        except TrainingError:
            return True, 3, 0.0
    masks = [film.mask for film in run.validation]
    share = sum(float(mask.mean()) for mask in masks) / len(masks)
    constant = 2 * share / (1 + share)  # of a mask that is all bone
    return run.best_dice < constant + MARGIN * (1 - constant), run.restarts, run.best_dice


if __name__ == "__main__":
    main()
