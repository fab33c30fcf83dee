"""The retraining process: python -m boneseg.server.retraining.process RUN

The run's folder (see `runs.py`) holds the request and the films. Progress is reported on stdout, a
`Message` as JSON on each line. The process exits when its stdin is closed, which happens however
the server ends.
"""

from __future__ import annotations

import json
import os
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

from boneseg._util import runtime
from boneseg.bundle.store import load_bundle, save_bundle
from boneseg.dataset.load import Film, load_films
from boneseg.dataset.open import open_dataset
from boneseg.errors import BonesegError
from boneseg.evaluation.evaluate import evaluate_predictions
from boneseg.inference.engine import Engine
from boneseg.recipes.builtin import load_recipe
from boneseg.server.retraining.held_out import hold_out
from boneseg.server.retraining.records import Check, Message, Request, Score
from boneseg.server.retraining.runs import CHECKPOINT, FILMS, HELD_OUT, REQUEST
from boneseg.training.finetune import refuse_other_network
from boneseg.training.history import Check as TrainingCheck
from boneseg.training.report import write_report
from boneseg.training.train import train

SETTINGS = ("optimiser.learning_rate=1e-3",)  # a third of the default, for a warm start


def main() -> None:
    threading.Thread(target=_end_with_the_server, daemon=True).start()
    runtime.start()
    runtime.keep_freed_memory()
    runtime.lower_priority()  # the page comes first
    try:
        retrain(Path(sys.argv[1]))
    except BonesegError as error:
        report(Message(error=str(error)))
        sys.exit(1)
    except MemoryError:
        report(Message(error="not enough memory to train; close other programs"))
        sys.exit(1)


def retrain(run: Path) -> None:
    """Train on the films of a run, and score both models on the held-out films.

    Raises BonesegError.
    """
    request = Request.load(run / REQUEST)
    before = load_bundle(Path(request.model))
    recipe = load_recipe("default").with_settings([*SETTINGS, *request.settings])
    refuse_other_network(recipe, request.settings, before)
    dataset = open_dataset(run / FILMS)
    report(Message(stage="reading the films"))
    films = load_films(dataset, run)
    training, held_out = map(films.of, hold_out(films.cases, films.clusters, run.parent / HELD_OUT))
    report(Message(stage="scoring the current model", held_out=len(held_out)))
    report(Message(stage="training", before=score(Engine(before), held_out)))
    resume = (run / CHECKPOINT).is_file()  # an interrupted run
    done = train(training, recipe, run, init=before, report=_report_check, resume=resume)
    report(Message(stage="scoring the new model"))
    judged = done.assess()
    after = save_bundle(run / "bundle", done.network, judged.card)
    write_report(run / "report.html", done, judged.card, judged.summary, judged.masks)
    report(Message(after=score(Engine(after), held_out)))


def report(message: Message) -> None:
    """Send a message to the server."""
    print(json.dumps(message.model_dump(exclude_none=True)), flush=True)


def _report_check(check: TrainingCheck) -> None:
    report(Message(check=Check(check.done, check.loss, check.dice)))


def score(engine: Engine, films: Sequence[Film]) -> Score:
    """The Dice of a model on films."""
    summary = evaluate_predictions(
        (film.case.name, engine.segment(film.radiograph), film.mask, None) for film in films
    )
    cases = {case.name: round(case.scores.dice, 4) for case in summary.cases}
    return Score(round(summary.mean["dice"], 4), cases)


def _end_with_the_server() -> None:
    while os.read(sys.stdin.fileno(), 1):  # EOF once the server has ended
        pass
    os._exit(1)


if __name__ == "__main__":
    main()
