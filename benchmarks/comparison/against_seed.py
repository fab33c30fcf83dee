"""The original's networks, fully trained, and how soon the default recipe equals them.

    python -m benchmarks.comparison.against_seed --data ../shared/data --work runs/seed \
        [--sets knee-femur]

`seed-deep` and `seed-unet` are trained by their own schedules (100 and 50 epochs), precision and
all as our recipes of them have it; then `default` gets a fifth of the longer one's time. Told are
the minutes of each, its Dice on held-out films, and when the default reached, on validation films,
what each original ended with. `--keras` also times a step of the original's code on the same
shapes: TensorFlow is installed into WORK for it. Figures are kept in benchmarks/results/seed.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from benchmarks.common import (
    SPEED,
    held_out,
    interval,
    keep,
    known,
    machine,
    teller,
    train_and_score,
    write_section,
)
from boneseg.recipes.builtin import load_recipe

ORIGINALS = ("seed-deep", "seed-unet")
SHARE = 5  # the default's time is theirs divided by this
STEPS = 12

# The two networks as the original builds them: "same" 3 x 3 convolutions twice a level, max pools,
# transposed convolutions, no normalisation.
KERAS = """
import json, sys, time
import numpy as np, tensorflow as tf
from tensorflow.keras import Model, layers
def network(widths):
    film = x = layers.Input((256, 256, 1))
    skips = []
    for level, width in enumerate(widths):
        x = layers.MaxPooling2D()(x) if level else x
        for _ in range(2):
            x = layers.Conv2D(width, 3, padding="same", activation="relu")(x)
        skips.append(x)
    for width, skip in zip(widths[-2::-1], skips[-2::-1]):
        x = layers.Conv2DTranspose(width, 2, strides=2, padding="same")(x)
        x = layers.concatenate([x, skip])
        for _ in range(2):
            x = layers.Conv2D(width, 3, padding="same", activation="relu")(x)
    return Model(film, layers.Conv2D(1, 1, activation="sigmoid")(x))
def dice(true, found):
    common = tf.reduce_sum(true * found)
    return 1 - (2 * common + 100) / (tf.reduce_sum(true) + tf.reduce_sum(found) + 100)
films = np.random.rand(8, 256, 256, 1).astype("float32")
masks = (films > 0.5).astype("float32")
taken = {}
for name, widths in json.loads(sys.argv[1]).items():
    model = network(widths)
    model.compile(optimizer=tf.keras.optimizers.Adam(8.3e-4), loss=dice)
    times = []
    for _ in range(int(sys.argv[2])):
        started = time.perf_counter()
        model.train_on_batch(films, masks)
        times.append(time.perf_counter() - started)
    taken[name] = sorted(times[2:])[len(times[2:]) // 2]
print(json.dumps(taken))
"""


def main() -> None:
    words = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    words.add_argument("--data", type=Path, default=Path("../shared/data"))
    words.add_argument("--work", type=Path, default=Path("runs/seed"))
    words.add_argument("--sets", nargs="*", default=["knee-femur", "legs"])
    words.add_argument("--epochs", type=int, help="instead of the originals' own: a quick look")
    words.add_argument("--keras", action="store_true", help="time TensorFlow as well")
    asked = words.parse_args()
    lines = [
        f"Made by `python -m benchmarks.comparison.against_seed` on {machine()}, seed 0. Dice on",
        "held-out films; default after: minutes until the default's validation Dice equals that of",
        "the original at its end; times faster: the original's minutes divided by them.",
        "",
        "| set | recipe | minutes | steps | Dice (95 %) | default after | times faster |",
        "|---|---|---|---|---|---|---|",
    ]
    for name in asked.sets:
        runs = {recipe: measure(name, recipe, asked) for recipe in ORIGINALS}
        minutes = max(run["seconds"] for run in runs.values()) / 60 / SHARE
        ours = measure(name, "default", asked, minutes)
        for recipe, run in {**runs, "default": ours}.items():
            soon = reached(ours["curve"], max(dice for _, dice in run["curve"]))
            said = f"{soon / 60:.1f} min" if soon else "never"
            faster = f"{run['seconds'] / soon:.1f}" if soon else "–"
            lines.append(
                f"| {name} | `{recipe}` | {run['seconds'] / 60:.1f} | {run['steps']} "
                f"| {run['dice']:.4f} ({interval(run['ci95'])}) "
                f"| {said if recipe != 'default' else ''} "
                f"| {faster if recipe != 'default' else ''} |"
            )
            print(lines[-1], flush=True)
    if asked.keras:
        lines += ["", *keras_steps(asked)]
    if asked.epochs is None:
        write_section("The original compared with the default", lines, SPEED)


def measure(
    films: str, recipe: str, asked: argparse.Namespace, minutes: float | None = None
) -> dict[str, Any]:
    """Train and score one recipe, or return its stored figures."""
    name = f"seed/{films}-{recipe}"
    if asked.epochs is None and (figures := known(name)):
        return dict(figures)
    settings = [f"run.minutes={minutes}"] if minutes else []
    settings += [f"run.epochs={asked.epochs}"] if asked.epochs and not minutes else []
    training, held = held_out(asked.data / films)
    chosen = load_recipe(recipe).with_settings(settings)
    scored = train_and_score(training, held, chosen, asked.work / films / recipe, teller(name))
    last = scored.run.history[-1]
    figures = {
        "seconds": last.seconds,
        "steps": last.step,
        "dice": scored.summary.mean["dice"],
        "ci95": scored.summary.ci95["dice"],
        "restarts": scored.run.restarts,
        "curve": [[row.seconds, round(row.dice, 5)] for row in scored.run.history],
    }
    if asked.epochs is None:
        keep(name, figures)
    return figures


def reached(curve: list[list[float]], aim: float) -> float | None:
    """The seconds at which a curve first reaches `aim`; None if it never does."""
    return next((seconds for seconds, dice in curve if dice >= aim), None)


def keras_steps(asked: argparse.Namespace) -> list[str]:
    """Seconds a step of Keras beside ours: 8 films of 256 squared, Adam."""
    python = asked.work / "keras" / "bin" / "python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", asked.work / "keras"], check=True)
        subprocess.run([python, "-m", "pip", "install", "-q", "tensorflow"], check=True)
    widths = {name: list(load_recipe(name).network.widths or ()) for name in ORIGINALS}
    call = [python, "-c", KERAS, json.dumps(widths), str(STEPS)]
    theirs = json.loads(subprocess.run(call, check=True, capture_output=True).stdout)
    lines = ["A step of 8 films of 256 squared: "]
    for name in ORIGINALS:
        run = measure(asked.sets[0], name, asked)
        ours = run["seconds"] / run["steps"]
        lines.append(
            f"`{name}` {1000 * theirs[name]:.0f} ms in Keras, {1000 * ours:.0f} ms here, checks "
            f"included ({theirs[name] / ours:.1f} times)."
        )
    return lines


if __name__ == "__main__":
    main()
