"""What the process of a retraining does: python -m boneseg.server.study RUN

RUN/plan.json (written by `retrain.py`) says from which bundle and with which settings; RUN/films
holds the films. How it goes is told in lines of JSON on stdout. The process ends when its stdin
does: with the server, however that ends.

A fifth of the films is held back: never trained on here, and never let go, whatever films are added
later. The model before and the model after are both scored on these, and so is every later one.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from boneseg.bundle import load_bundle
from boneseg.dataset import Case, open_dataset
from boneseg.engine import Engine
from boneseg.errors import BonesegError, DatasetError
from boneseg.files import whole_file
from boneseg.history import Check
from boneseg.splits import twins

SHARE = 0.2  # of the films are held back
SETTINGS = ("optimiser.learning_rate=1e-3",)  # a third of the default's: the weights are no guess


def main() -> None:
    run = Path(sys.argv[1])
    threading.Thread(target=_end_with_the_server, daemon=True).start()
    os.nice(10)  # the page goes first
    try:
        retrain(run)
    except BonesegError as error:
        tell(error=str(error))
        sys.exit(1)
    except MemoryError:
        tell(error="there is not enough memory to train; close other programs")
        sys.exit(1)


def retrain(run: Path) -> None:
    """Train on the films of a plan, and score both models on those held back."""
    from boneseg.bundle import save_bundle
    from boneseg.calibrate import judge
    from boneseg.films import read_films
    from boneseg.recipes import load_recipe
    from boneseg.report.page import write_report
    from boneseg.training import train

    plan = json.loads((run / "plan.json").read_text(encoding="utf-8"))
    before = load_bundle(plan["model"])
    dataset = open_dataset(run / "films")
    tell(stage="reading the films")
    films = read_films(dataset.cases)
    clusters = twins(dataset.cases, [film.radiograph.pixels for film in films])
    record = run.parent / "held-back.json"
    dealt = deal([unit_of(case) for case in dataset.cases], _remembered(record))
    with whole_file(record) as temporary:
        temporary.write_text(json.dumps(dealt, indent=0) + "\n", encoding="utf-8")
    kept, held = held_back(dataset.cases, clusters, dealt)
    tell(stage="scoring the model of today", training=len(kept), held_back=len(held))
    scored = [film for film in films if film.case in set(held)]
    del films
    dice_before = _dice(Engine(before), scored)
    tell(stage="training", before=dice_before)
    recipe = load_recipe("default").with_settings([*SETTINGS, *plan["settings"]])

    def report(check: Check) -> None:
        tell(check={"done": check.done, "loss": check.loss, "dice": check.dice})

    chosen = replace(dataset, cases=kept)
    done = train(chosen, recipe, run, init=before, report=report)
    tell(stage="scoring the new model")
    judged = judge(done)
    after = save_bundle(run / "bundle", done.network, judged.card)
    write_report(run / "report.html", done, judged.card, judged.summary, judged.masks)
    tell(outcome={"before": dice_before, "after": _dice(Engine(after), scored)})


def unit_of(case: Case) -> str:
    """What may not stand on both sides: a patient's films, where `groups.csv` tells them."""
    return f"group {case.group}" if case.group is not None else f"film {case.name}"


def deal(units: Iterable[str], before: Mapping[str, bool]) -> dict[str, bool]:
    """Which units are held back: as they were, and about a fifth of all that are known.

    New ones are dealt in the order of their hashes, so that no property of a film has a say.
    """
    dealt = dict(before)
    for unit in sorted(set(units) - dealt.keys(), key=_hash):
        held, count = sum(dealt.values()), len(dealt) + 1
        dealt[unit] = held < max(1, round(SHARE * count))
    return dealt


def held_back(
    cases: Sequence[Case], clusters: Sequence[int], dealt: Mapping[str, bool]
) -> tuple[tuple[Case, ...], tuple[Case, ...]]:
    """(to train on, held back); what is the twin of a film held back is in neither.

    Raises DatasetError where too few films are left.
    """
    held = tuple(case for case in cases if dealt[unit_of(case)])
    pairs = list(zip(cases, clusters, strict=True))
    seen = {cluster for case, cluster in pairs if dealt[unit_of(case)]}
    kept = tuple(
        case for case, cluster in pairs if not dealt[unit_of(case)] and cluster not in seen
    )
    if len(kept) < 2 or not held:
        raise DatasetError(
            f"of {len(cases)} accepted films {len(kept)} may be trained on, {len(held)} are held "
            "back to score with; accept more"
        )
    return kept, held


def tell(**facts: Any) -> None:
    """A line for the server."""
    print(json.dumps(facts), flush=True)


def _remembered(record: Path) -> dict[str, bool]:
    try:
        found = json.loads(record.read_text(encoding="utf-8"))
        return {str(unit): bool(held) for unit, held in found.items()}
    except (OSError, ValueError, AttributeError):
        return {}


def _hash(name: str) -> bytes:
    return hashlib.sha256(name.encode(errors="surrogateescape")).digest()


def _dice(engine: Engine, films: list[Any]) -> dict[str, Any]:
    """The mean Dice of a model on films it was not trained on here, and each film's."""
    from boneseg.evaluate import evaluate_predictions

    summary = evaluate_predictions(
        (film.case.name, engine.segment(film.radiograph), film.mask, None) for film in films
    )
    cases = {case.name: round(case.scores.dice, 4) for case in summary.cases}
    return {"dice": round(summary.mean["dice"], 4), "cases": cases}


def _end_with_the_server() -> None:
    while os.read(sys.stdin.fileno(), 1):  # nobody writes: it ends once the server is gone
        pass
    os._exit(1)


if __name__ == "__main__":
    main()
