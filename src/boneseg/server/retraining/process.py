"""The retraining process: python -m boneseg.server.retraining.process RUN

RUN/wish.json (written by `retrain.py`) holds the initial model and the settings; RUN/films holds
the films. Progress is reported as lines of JSON on stdout. The process exits when its stdin is
closed, which happens however the server ends.

A fifth of the films is held out for good: never trained on here, whatever films or groups are added
later. The models before and after, and those of later runs, are scored on these films.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import os
import sys
import threading
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from boneseg._util.files import whole_file
from boneseg.bundle.store import load_bundle
from boneseg.dataset.case import Case
from boneseg.dataset.duplicates import near_duplicates, thumbnail
from boneseg.dataset.open import open_dataset
from boneseg.dataset.splits import units
from boneseg.errors import BonesegError, DatasetError
from boneseg.inference.engine import Engine
from boneseg.training.history import Check

SHARE = 0.2  # share of the groups that is held out
SETTINGS = ("optimiser.learning_rate=1e-3",)  # a third of the default, for a warm start


def main() -> None:
    run = Path(sys.argv[1])
    threading.Thread(target=_end_with_the_server, daemon=True).start()
    os.nice(10)  # the page has priority
    try:
        retrain(run)
    except BonesegError as error:
        tell(error=str(error))
        sys.exit(1)
    except MemoryError:
        tell(error="not enough memory to train; close other programs")
        sys.exit(1)


def retrain(run: Path) -> None:
    """Train on the films of a run, and score both models on the held-out films."""
    from boneseg.bundle.store import refuse_other_network, save_bundle
    from boneseg.dataset.load import read_films
    from boneseg.recipes.builtin import load_recipe
    from boneseg.report.training import write_report
    from boneseg.training.train import train

    wish = json.loads((run / "wish.json").read_text(encoding="utf-8"))
    before = load_bundle(wish["model"])
    recipe = load_recipe("default").with_settings([*SETTINGS, *wish["settings"]])
    refuse_other_network(recipe, wish["settings"], before)
    dataset = open_dataset(run / "films")
    tell(stage="reading the films")
    films = read_films(dataset.cases)
    clusters = near_duplicates([thumbnail(film.radiograph.pixels) for film in films])
    kept, held = hold_back(dataset.cases, clusters, run.parent / "held-back.json")
    tell(stage="scoring the current model", training=len(kept), held_back=len(held))
    scored = [film for film in films if film.case in set(held)]
    del films
    dice_before = _dice(Engine(before), scored)
    tell(stage="training", before=dice_before)

    def report(check: Check) -> None:
        tell(check={"done": check.done, "loss": check.loss, "dice": check.dice})

    chosen = replace(dataset, cases=kept)
    resume = (run / "checkpoint.safetensors").is_file()  # an interrupted run
    done = train(chosen, recipe, run, init=before, report=report, resume=resume)
    tell(stage="scoring the new model")
    judged = done.assess()
    after = save_bundle(run / "bundle", done.network, judged.card)
    write_report(run / "report.html", done, judged.card, judged.summary, judged.masks)
    tell(outcome={"before": dice_before, "after": _dice(Engine(after), scored)})


def hold_back(
    cases: Sequence[Case], clusters: Sequence[int], record: Path
) -> tuple[tuple[Case, ...], tuple[Case, ...]]:
    """(training, held out), consistent with earlier runs by `record`.

    Raises DatasetError where there are too few films.
    """
    before = _remembered(record)
    kept, held = deal(cases, clusters, before)
    if len(kept) < 2 or not held:
        raise DatasetError(
            f"too few of the {len(cases)} accepted films: {len(kept)} to train on, "
            f"{len(held)} held out; accept more"
        )
    sides = {case.name: False for case in kept} | {case.name: True for case in held}
    with whole_file(record) as temporary:
        temporary.write_text(json.dumps(before | sides, indent=0) + "\n", encoding="utf-8")
    return kept, held


def deal(
    cases: Sequence[Case], clusters: Sequence[int], before: Mapping[str, bool]
) -> tuple[tuple[Case, ...], tuple[Case, ...]]:
    """(training, held out): known films as before, by name, and a fifth of the new ones held out.

    Films of one group, by `groups.csv` or as duplicates, stay together; a group that was split in
    earlier runs is in neither. New groups are assigned in the order of their hash, which is
    independent of their content.
    """
    kept: list[list[Case]] = []
    held: list[list[Case]] = []
    new = []
    for unit in ([cases[index] for index in joined] for joined in units(cases, clusters)):
        known = {before[case.name] for case in unit if case.name in before}
        if not known:
            new.append(unit)
        elif len(known) == 1:
            (held if known.pop() else kept).append(unit)
    for unit in sorted(new, key=_hash):
        due = max(1, round(SHARE * (len(kept) + len(held) + 1)))
        (held if len(held) < due else kept).append(unit)
    return _by_name(kept), _by_name(held)


def tell(**facts: Any) -> None:
    """Report facts to the server as a line of JSON."""
    print(json.dumps(facts), flush=True)


def _remembered(record: Path) -> dict[str, bool]:
    """Whether each known film is held out, by name."""
    try:
        found = json.loads(record.read_text(encoding="utf-8"))
        return {str(name): bool(held) for name, held in found.items()}
    except (OSError, ValueError, AttributeError):
        return {}


def _by_name(dealt: Sequence[Sequence[Case]]) -> tuple[Case, ...]:
    return tuple(sorted(itertools.chain.from_iterable(dealt), key=lambda case: case.name))


def _hash(unit: Sequence[Case]) -> bytes:
    names = (case.name.encode(errors="surrogateescape") for case in unit)
    return min(hashlib.sha256(name).digest() for name in names)


def _dice(engine: Engine, films: list[Any]) -> dict[str, Any]:
    """The mean Dice of a model on the held-out films, and the Dice of each."""
    from boneseg.evaluation.evaluate import evaluate_predictions

    summary = evaluate_predictions(
        (film.case.name, engine.segment(film.radiograph), film.mask, None) for film in films
    )
    cases = {case.name: round(case.scores.dice, 4) for case in summary.cases}
    return {"dice": round(summary.mean["dice"], 4), "cases": cases}


def _end_with_the_server() -> None:
    while os.read(sys.stdin.fileno(), 1):  # EOF once the server has ended
        pass
    os._exit(1)


if __name__ == "__main__":
    main()
