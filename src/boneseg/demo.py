"""The whole of boneseg in a few minutes, on simulated films: nothing is needed but the package."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from boneseg.lock import exclusive
from boneseg.metrics import Summary
from boneseg.recipes import load_recipe


@dataclass(frozen=True)
class Demo:
    """Where a demonstration left its things, and what its own model scored on unseen films."""

    samples: Path
    overlays: Path
    bundle: Path
    report: Path
    summary: Summary


@exclusive
def demonstrate(out: Path, *, minutes: float = 1.0, say: Callable[[str], None] = print) -> Demo:
    """Find bones with the model that ships; then make films, train on some, and score others.

    Raises what its parts raise.
    """
    from boneseg.bundle import sample_films, save_bundle
    from boneseg.dataset import open_dataset
    from boneseg.engine import Engine
    from boneseg.evaluate import evaluate_model
    from boneseg.radiograph import find_radiographs
    from boneseg.report.page import write_report
    from boneseg.segment import segment_files
    from boneseg.simulate import simulate
    from boneseg.training import train

    chosen = load_recipe("default").with_settings(
        [f"run.minutes={minutes}", "prepare.max_pixels=16384"]
    )
    say("finding bones in the sample films with the model that ships")
    ours = Engine()
    segment_files(find_radiographs([sample_films()]), out / "samples", ours)
    say("making 120 phantom films to train on, and 24 others to be scored on")
    simulate(out / "train", 120, seed=0)
    simulate(out / "unseen", 24, seed=1_000_000)
    say(f"training for {minutes:g} minutes")
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
    unseen = open_dataset(out / "unseen")
    summary = evaluate_model(unseen, engine.segment).summary
    segment_files([case.image for case in unseen.cases], out / "overlays", engine)
    return Demo(out / "samples", out / "overlays", out / "run" / "bundle", report, summary)
