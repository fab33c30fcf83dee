"""The share of a training step that the augmentation takes.

    python -m benchmarks.speed.augmentation

Runs of the default recipe on phantom films, a few minutes in all. A step lasts from one call of
the Augmenter to the next; steps with a look at the validation films between them do not count.
"""

from __future__ import annotations

import os
import tempfile
import time
from itertools import pairwise
from pathlib import Path
from statistics import quantiles
from unittest.mock import patch

from torch import Tensor

from benchmarks.common import write_section
from boneseg.dataset.open import open_dataset
from boneseg.recipes.builtin import load_recipe
from boneseg.simulate import simulate
from boneseg.training.augmentation import Augmenter
from boneseg.training.train import train

WORK = ((224, 224, 4), (1024, 128, 2))  # height, width, films a step
FILMS, STEPS = 20, 80


def main() -> None:
    cores, load = os.cpu_count(), os.getloadavg()[0]
    lines = [
        f"Made by `python -m benchmarks.speed.augmentation`: recipe `default`, {STEPS} steps",
        f"each, on {cores} CPU cores, load {load:.1f} at the start. A share of the step, not a",
        "time.",
        "",
        "| height x width | films a step | share of the step (median) | quartiles |",
        "|---|---|---|---|",
    ]
    for height, width, batch in WORK:
        low, middle, high = quantiles(shares(height, width, batch), n=4)
        lines.append(f"| {height} x {width} | {batch} | {middle:.1%} | {low:.1%} to {high:.1%} |")
        print(lines[-1], flush=True)
    write_section("Augmentation", lines)


def shares(height: int, width: int, batch: int) -> list[float]:
    """The Augmenter's share, 0 to 1, of each step of a run."""
    calls: list[tuple[float, float] | None] = []  # when each began and ended; None: a check
    plain = Augmenter.__call__

    def timed(
        augment: Augmenter, films: Tensor, masks: Tensor, seeds: Tensor
    ) -> tuple[Tensor, Tensor]:
        began = time.perf_counter()
        views = plain(augment, films, masks, seeds)
        calls.append((began, time.perf_counter()))
        return views

    settings = [f"prepare.height={height}", f"prepare.width={width}", f"run.batch={batch}"]
    settings += [f"run.epochs={STEPS * batch // FILMS}", "run.validation=0.2", "run.guard=false"]
    recipe = load_recipe("default").with_settings(settings)
    with tempfile.TemporaryDirectory() as folder, patch.object(Augmenter, "__call__", timed):
        films, out = Path(folder) / "films", Path(folder) / "run"
        simulate(films, FILMS * 5 // 4, size=(height, width))
        train(open_dataset(films), recipe, out, report=lambda check: calls.append(None))
    steps = ((call, next_) for call, next_ in pairwise(calls) if call and next_)
    return [(ended - began) / (after - began) for (began, ended), (after, _) in steps]


if __name__ == "__main__":
    main()
