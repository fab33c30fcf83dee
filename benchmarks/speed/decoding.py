"""Time saved in a cross-validation by decoding each film once, instead of once for each fold.

    python -m benchmarks.speed.decoding --data ../shared/data/legs

All that is done with films besides training and prediction is timed: films and masks are decoded,
fingerprinted, compared for near-duplicates and placed on the working grid. The folds either share
the films, or each fold decodes them again. Processor time of this process is compared, as other
programs do not count there.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest.mock import patch

from benchmarks.common import SPEED, machine, write_section
from boneseg.dataset import load
from boneseg.dataset.load import Films, fingerprint, load_films
from boneseg.dataset.open import Dataset, open_dataset
from boneseg.dataset.splits import all_but, split_folds
from boneseg.preprocessing import Preparation
from boneseg.radiograph.film import Radiograph
from boneseg.radiograph.read import read_radiograph
from boneseg.recipes.builtin import load_recipe
from boneseg.training.tensors import prepare_films

FOLDS, TURNS = 5, 3


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--data", type=Path, default=Path("../shared/data/legs"))
    dataset = open_dataset(arguments.parse_args().data)
    runs = [(measured(dataset, shared=True), measured(dataset, shared=False)) for _ in range(TURNS)]
    assert all(now[2] == before[2] for now, before in runs)  # the same films in the same tensors
    now, before = (statistics.median(run[which][1] for run in runs) for which in (0, 1))
    lines = [
        f"Made by `python -m benchmarks.speed.decoding` on {machine()}: {FOLDS} folds of the",
        f"{len(dataset.cases)} films of `{dataset.root.name}`; the median of {TURNS} turns, in",
        "seconds of processor time, without training and prediction.",
        "",
        "| films are decoded | films decoded | seconds |",
        "|---|---|---|",
        f"| once for all folds | {runs[0][0][0]} | {now:.1f} |",
        f"| again for each fold | {runs[0][1][0]} | {before:.1f} |",
        "",
        f"Saved: {before - now:.1f} s of {before:.1f} s ({before / now:.1f} times as fast).",
    ]
    print("\n".join(lines))
    write_section("Films decoded once", lines, SPEED)


def measured(dataset: Dataset, *, shared: bool) -> tuple[int, float, list[str]]:
    """Films decoded, seconds of processor time, and the fingerprint and sum of each fold."""
    with tempfile.TemporaryDirectory() as folder, counted() as decoded:
        started = time.process_time()
        films = load_films(dataset, Path(folder))
        recipe = load_recipe("default").settle(films.shapes)
        size = Preparation(recipe.prepare.height, recipe.prepare.width)
        folds = split_folds(films.cases, films.clusters, FOLDS, recipe.run.seed, films.bone_shares)
        found = []
        for held_out in folds:
            own = films if shared else load_films(dataset, Path(folder))
            found.append(prepared(own.part(all_but(held_out, len(films))), size))
        return len(decoded), time.process_time() - started, found


def prepared(films: Films, size: Preparation) -> str:
    """Prepare the films of a fold for training."""
    tensors = prepare_films(films, size)
    return f"{fingerprint(films)} {tensors.films.sum():.6f} {tensors.masks.sum()}"


@contextmanager
def counted() -> Iterator[list[Path]]:
    """The films that are decoded inside the block."""
    decoded: list[Path] = []

    def read(path: Path) -> Radiograph:
        decoded.append(path)
        return read_radiograph(path)

    with patch.object(load, "read_radiograph", read):
        yield decoded


if __name__ == "__main__":
    main()
