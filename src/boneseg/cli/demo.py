"""The whole of boneseg in a few minutes, on simulated films: nothing is needed but the package."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from boneseg._util.lock import exclusive
from boneseg.evaluation.metrics import Summary
from boneseg.recipes.builtin import load_recipe


@dataclass(frozen=True)
class Demo:
    """Where a demonstration left its things, and what two models scored on the same films."""

    samples: Path
    overlays: Path
    bundle: Path
    report: Path
    shipped: Summary  # of the model that ships
    summary: Summary  # of the model trained here


@exclusive
def demonstrate(out: Path, *, minutes: float = 1.0, say: Callable[[str], None] = print) -> Demo:
    """Find bones with the model that ships, and score it; then train one, and score that.

    Raises what its parts raise.
    """
    from boneseg.bundle.store import sample_films, save_bundle
    from boneseg.dataset.open import open_dataset
    from boneseg.evaluation.evaluate import evaluate_model
    from boneseg.inference.batch import segment_files
    from boneseg.inference.engine import Engine
    from boneseg.radiograph.read import find_radiographs
    from boneseg.report.training import write_report
    from boneseg.simulate import simulate
    from boneseg.training.train import train

    chosen = load_recipe("default").with_settings(
        [f"run.minutes={minutes}", "prepare.max_pixels=16384"]
    )
    say("finding bones in the sample films with the model that ships")
    ours = Engine()
    segment_files(find_radiographs([sample_films()]), out / "samples", ours)
    say("making 24 simulated films, to score it on")
    simulate(out / "unseen", 24, seed=1_000_000)
    unseen = open_dataset(out / "unseen")
    shipped = evaluate_model(unseen, ours.segment).summary
    say(f"the model that ships: {dice_words(shipped)} on them")
    say(f"training another model on 120 other simulated films, for {minutes:g} min")
    simulate(out / "train", 120, seed=0)
    run = train(
        open_dataset(out / "train"),
        chosen,
        out / "run",
        report=lambda check: say(f"{check.done:4.0%}  Dice {check.dice:.3f}"),
    )
    judged = run.assess()
    engine = Engine(save_bundle(out / "run" / "bundle", run.network, judged.card))
    report = out / "run" / "report.html"
    write_report(report, run, judged.card, judged.summary, judged.masks)
    summary = evaluate_model(unseen, engine.segment).summary
    segment_files([case.image for case in unseen.cases], out / "overlays", engine)
    return Demo(out / "samples", out / "overlays", out / "run" / "bundle", report, shipped, summary)


def dice_words(summary: Summary) -> str:
    """The mean Dice and its interval."""
    low, high = summary.ci95["dice"]
    return f"Dice {summary.mean['dice']:.3f} (95 % {low:.3f} to {high:.3f})"
