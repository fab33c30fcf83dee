"""Demonstration of boneseg in a few minutes on simulated films; needs no data."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from boneseg._util.lock import exclusive
from boneseg.bundle.shipped import sample_films
from boneseg.bundle.store import save_bundle
from boneseg.dataset.open import open_dataset
from boneseg.evaluation.evaluate import evaluate_model
from boneseg.evaluation.scores import Summary
from boneseg.inference.batch import segment_files
from boneseg.inference.engine import Engine
from boneseg.radiograph.discovery import find_radiographs
from boneseg.recipes.builtin import load_recipe
from boneseg.simulate import simulate
from boneseg.training.report import write_report
from boneseg.training.train import train

EVALUATED, TRAINED = 24, 120  # films

Say = Callable[[str], None]


@dataclass(frozen=True)
class Demo:
    """Output paths of a demonstration, and the scores of two models on the same films."""

    samples: Path
    overlays: Path
    bundle: Path
    report: Path
    bundled: Summary  # of the bundled model
    trained: Summary  # of the model trained in the demonstration


@exclusive
def demonstrate(out: Path, *, minutes: float = 1.0, say: Say = print) -> Demo:
    """Segment and evaluate with the bundled model, then train a model and evaluate it.

    Args:
        out: Output folder.
        minutes: Training time.
        say: Receives progress messages.

    Raises:
        BonesegError: from any of the steps.
    """
    say("segmenting the sample films with the bundled model")
    engine = Engine()
    segment_files(find_radiographs([sample_films()]), out / "samples", engine)
    say(f"simulating {EVALUATED} films to evaluate it on")
    simulate(out / "unseen", EVALUATED, seed=1_000_000)
    unseen = open_dataset(out / "unseen")
    bundled = evaluate_model(unseen, engine.segment).summary
    say(f"bundled model: {dice_words(bundled)}")
    bundle, report = _train(out, minutes, say)
    engine = Engine(bundle)
    trained = evaluate_model(unseen, engine.segment).summary
    segment_files([case.image for case in unseen.cases], out / "overlays", engine)
    return Demo(out / "samples", out / "overlays", bundle, report, bundled, trained)


def _train(out: Path, minutes: float, say: Say) -> tuple[Path, Path]:
    """Train a model on simulated films; returns its folder and its report."""
    say(f"training another model on {TRAINED} other simulated films for {minutes:g} min")
    simulate(out / "train", TRAINED, seed=0)
    recipe = load_recipe("default").with_settings(
        [f"run.minutes={minutes}", "prepare.max_pixels=16384"]
    )
    run = train(
        open_dataset(out / "train"),
        recipe,
        out / "run",
        report=lambda check: say(f"{check.done:4.0%}  validation Dice {check.dice:.3f}"),
    )
    judged = run.assess()
    bundle, report = out / "run" / "bundle", out / "run" / "report.html"
    save_bundle(bundle, run.network, judged.card)
    write_report(report, run, judged.card, judged.summary, judged.masks)
    return bundle, report


def dice_words(summary: Summary) -> str:
    """Format the mean Dice with its 95 % confidence interval."""
    low, high = summary.ci95["dice"]
    return f"Dice {summary.mean['dice']:.3f} (95 % {low:.3f} to {high:.3f})"
