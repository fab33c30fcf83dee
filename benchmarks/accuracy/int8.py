"""The loss of Dice and the gain in speed from 8-bit integers, on trained models:
`results/speed.md`.

    python -m benchmarks.accuracy.int8 --data ../shared/data --work runs/int8

On each labelled set the default recipe is trained for as long as `trials.py` has it, and quantised
as `boneseg train --precision int8` does it. Both networks find the held-out films, and take turns
on one of them. Stopped, it goes on where it was.
"""

from __future__ import annotations

import argparse
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np

from benchmarks.common import (
    SPEED,
    compile_for_each_size,
    held_out,
    interval,
    machine,
    score_films,
    side_by_side,
    teller,
    train_and_score,
    write_section,
)
from boneseg.bundle.store import Bundle
from boneseg.evaluation.statistics import bootstrap_ci95, paired_p
from boneseg.inference.backends import open_backend
from boneseg.inference.engine import Engine
from boneseg.preprocessing import Floats
from boneseg.recipes.builtin import load_recipe
from boneseg.training.quantise import quantise

MINUTES = {"knee-femur": 6, "knee-tibia": 6, "spine": 12, "legs": 20}  # of a CPU core
ROUNDS = 30


def main() -> None:
    words = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    words.add_argument("--data", type=Path, default=Path("../shared/data"))
    words.add_argument("--work", type=Path, default=Path("runs/int8"))
    words.add_argument("--sets", nargs="*", default=list(MINUTES))
    asked = words.parse_args()
    compile_for_each_size()
    lines = [
        f"Made by `python -m benchmarks.accuracy.int8` on {machine()}: recipe `default`,",
        "held-out films. Dice of int8 less that of bfloat16 (or what the machine has), and how",
        "much sooner a film",
        "is found: the network alone, and all of `Engine.find`.",
        "",
        "| set | Dice | int8 | difference (95 %) | p | validation | kept | network | film |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for films in asked.sets:
        lines.append(row(films, asked.data / films, asked.work / films))
        print(lines[-1], flush=True)
    write_section("int8 on trained models", lines, SPEED)


def row(name: str, data: Path, out: Path) -> str:
    training, held = held_out(data)
    budget = [f"run.minutes={MINUTES[name]}", "run.clock=core"]
    recipe = load_recipe("default").with_settings(budget)
    scored = train_and_score(training, held, recipe, out, teller(name))
    copy = out / "int8"
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(scored.bundle.path, copy)
    found = quantise(replace(scored.bundle, path=copy), scored.run.training, scored.run.validation)
    line = f"| {name} | {scored.summary.mean['dice']:.4f} "
    if not found.kept:
        return f"{line}| – | – | – | {found.int8_dice - found.dice:+.4f} | no | – | – |"
    engine = Engine(found.bundle)
    _, _, summary = score_films(engine, held)
    before, after = ([c.scores.dice for c in s.cases] for s in (scored.summary, summary))
    change = [b - a for a, b in zip(before, after, strict=True)]
    film = scored.films[0].radiograph.pixels
    bundles, engines = (scored.bundle, found.bundle), (scored.engine, engine)
    network, whole = faster(bundles, engines, film)
    return (
        f"{line}| {summary.mean['dice']:.4f} | {sum(change) / len(change):+.4f} "
        f"({interval(bootstrap_ci95(change))}) | {paired_p(after, before):.3f} "
        f"| {found.int8_dice - found.dice:+.4f} | yes | {network:.2f} | {whole:.2f} |"
    )


def faster(
    bundles: tuple[Bundle, Bundle], engines: tuple[Engine, Engine], pixels: Floats
) -> tuple[float, float]:
    """The speed-up of the second for a film: of its network alone, and in all."""
    preparation = bundles[0].preparation((pixels.shape[0], pixels.shape[1]))
    grid = np.ascontiguousarray(preparation.film(pixels, 1.0)[0][None, None])
    networks = [open_backend(bundle) for bundle in bundles]
    taken = side_by_side(
        {
            "network": lambda: networks[0](grid),
            "network, int8": lambda: networks[1](grid),
            "film": lambda: engines[0].find(pixels),
            "film, int8": lambda: engines[1].find(pixels),
        },
        ROUNDS,
    )
    return taken["network"] / taken["network, int8"], taken["film"] / taken["film, int8"]


if __name__ == "__main__":
    main()
