"""The effect of balancing on a rare body part: `results/accuracy.md`.

    python -m benchmarks.accuracy.rare_parts --data ../shared/data --work runs/rare

Full legs, spines and knees are one training set, its parts named in parts.csv; the rarest is the
spine. One model is trained on the films as they come, and one that draws each part as often as the
others (`run.balance=1`), each for 20 minutes of a CPU core from each of three seeds. (Of the two
sets of knees the one is taken in which the femur is labelled: in the other, films that look the
same have the tibia labelled instead, and nothing in a film says which is asked.)
"""

from __future__ import annotations

import argparse
import csv
import shutil
from pathlib import Path

import numpy as np

from benchmarks.common import (
    ON_GPU,
    budget,
    held_out,
    interval,
    keep,
    known,
    one_a_core,
    teller,
    titled,
    train_and_score,
    where,
    write_section,
)
from boneseg.dataset.open import Dataset, open_dataset
from boneseg.evaluation.statistics import bootstrap_ci95, paired_p
from boneseg.recipes.builtin import load_recipe

SETS = {"legs": "legs", "spine": "spine", "knee-femur": "knee"}
SEEDS = (0, 1, 2)
BALANCES = (0.0, 1.0)
MINUTES = 20
EPOCHS = 40  # on a GPU


def main() -> None:
    words = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    words.add_argument("--data", type=Path, default=Path("../shared/data"))
    words.add_argument("--work", type=Path, default=Path("runs/rare"))
    words.add_argument("--minutes", type=float, default=MINUTES)
    asked = words.parse_args()
    training, held = pooled(asked.data, asked.work)
    counts = {part: sum(c.part == part for c in training.cases) for part in SETS.values()}
    with one_a_core() as pool:
        for end in [
            pool.submit(score, training, held, balance, seed, asked)
            for seed in SEEDS
            for balance in BALANCES
            if not known(name_of(balance, seed))
        ]:
            end.result()
    scores = {}
    for balance in BALANCES:
        runs = [known(name_of(balance, seed)) for seed in SEEDS]
        scores[balance] = {part: np.mean([run[part] for run in runs], axis=0) for part in counts}
    lines = [
        "Made by `python -m benchmarks.accuracy.rare_parts`: one model for all,",
        f"{where()}, {f'{EPOCHS} epochs' if ON_GPU else f'{asked.minutes:g} minutes'},",
        f"512 x 256, mean over seeds {', '.join(map(str, SEEDS))}; held-out films, as above.",
        "",
        "| part | films | Dice as they come | Dice balanced | difference (95 %) | p |",
        "|---|---|---|---|---|---|",
    ]
    for part in sorted(counts, key=lambda part: counts[part]):
        plain, even = scores[0.0][part], scores[1.0][part]
        lines.append(
            f"| {part} | {counts[part]} + {len(plain)} | {plain.mean():.4f} | {even.mean():.4f} "
            f"| {(even - plain).mean():+.4f} ({interval(bootstrap_ci95(even - plain))}) "
            f"| {paired_p(even, plain):.3f} |"
        )
    write_section(titled("A rare body part"), lines)


def pooled(data: Path, work: Path) -> tuple[Dataset, Dataset]:
    """All sets as one with parts.csv, as (to train on, held out)."""
    folders = {"kept": work / "films", "held": work / "held"}
    for folder in folders.values():
        shutil.rmtree(folder, ignore_errors=True)
        for kind in ("images", "masks"):
            (folder / kind).mkdir(parents=True)
    rows: dict[str, list[tuple[str, str]]] = {"kept": [], "held": []}
    for name, part in SETS.items():
        for side, dataset in zip(("kept", "held"), held_out(data / name), strict=True):
            for case in dataset.cases:
                own = f"{part}-{case.name}"
                rows[side].append((own, part))
                for kind, file in (("images", case.image), ("masks", case.mask)):
                    link = folders[side] / kind / f"{own}{file.suffix}"
                    link.symlink_to(file.resolve())
    for side, folder in folders.items():
        with (folder / "parts.csv").open("w", newline="") as file:
            csv.writer(file).writerows([("name", "part"), *rows[side]])
    return open_dataset(folders["kept"]), open_dataset(folders["held"])


def name_of(balance: float, seed: int) -> str:
    return f"rare/balance-{balance:g}-seed-{seed}"


def score(
    training: Dataset, held: Dataset, balance: float, seed: int, asked: argparse.Namespace
) -> None:
    """Train, and keep the Dice of each held-out film, by part."""
    settings = ["prepare.height=512", "prepare.width=256", *budget(asked.minutes, EPOCHS)]
    settings += [f"run.balance={balance}", f"run.seed={seed}"]
    name = name_of(balance, seed)
    recipe = load_recipe("default").with_settings(settings)
    summary = train_and_score(training, held, recipe, asked.work / name, teller(name)).summary
    parts = {case.name: case.part for case in held.cases}
    dice = {
        part: [c.scores.dice for c in summary.cases if parts[c.name] == part]
        for part in SETS.values()
    }
    keep(name, dice)


if __name__ == "__main__":
    main()
