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
from pathlib import Path

from boneseg._util import runtime
from boneseg.bundle.store import load_bundle, save_bundle
from boneseg.dataset.load import load_films
from boneseg.dataset.open import open_dataset
from boneseg.errors import BonesegError
from boneseg.inference.engine import Engine
from boneseg.recipes.builtin import load_recipe
from boneseg.server.retraining.comparison import p_value, score, scoring_films, why_no_figure
from boneseg.server.retraining.held_out import hold_out
from boneseg.server.retraining.records import Check, Message, Request
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
    """Train on the films of a run, and compare both models on the held-out films.

    Raises BonesegError.
    """
    request = Request.load(run / REQUEST)
    before = load_bundle(Path(request.model))
    recipe = load_recipe("default").with_settings([*SETTINGS, *request.settings])
    refuse_other_network(recipe, request.settings, before)
    dataset = open_dataset(run / FILMS)
    report(Message(stage="reading the films"))
    films = load_films(dataset, run)
    record, drawn = run.parent / HELD_OUT, frozenset(request.drawn)
    training, held_out = map(films.of, hold_out(films.cases, films.clusters, record, drawn))
    report(Message(stage="scoring the current model", held_out=len(held_out)))
    scoring, today = scoring_films(held_out, drawn, Engine(before))
    why = why_no_figure(len(held_out), len(scoring)) if today is None else None
    report(Message(stage="training", scoring=len(scoring), before=today, no_figure=why))
    resume = (run / CHECKPOINT).is_file()  # an interrupted run
    done = train(training, recipe, run, init=before, report=_report_check, resume=resume)
    report(Message(stage="scoring the new model"))
    judged = done.assess()
    after = save_bundle(run / "bundle", done.network, judged.card)
    write_report(run / "report.html", done, judged.card, judged.summary, judged.masks)
    new = score(Engine(after), scoring) if today is not None else None
    p = p_value(today, new, scoring) if today is not None and new is not None else None
    report(Message(finished=True, after=new, p=p))


def report(message: Message) -> None:
    """Send a message to the server."""
    print(json.dumps(message.model_dump(exclude_none=True)), flush=True)


def _report_check(check: TrainingCheck) -> None:
    report(Message(check=Check(check.done, check.loss, check.dice)))


def _end_with_the_server() -> None:
    while os.read(sys.stdin.fileno(), 1):  # EOF once the server has ended
        pass
    os._exit(1)


if __name__ == "__main__":
    main()
