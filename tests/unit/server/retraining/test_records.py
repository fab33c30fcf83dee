"""Documents of a retraining stay readable: those below were written before they had versions."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from boneseg.bundle.shipped import bundled
from boneseg.dataset.case import Case
from boneseg.errors import BonesegError
from boneseg.server.retraining.held_out import hold_out
from boneseg.server.retraining.records import Check, HeldOut, Message, Request, Run, Score
from boneseg.server.retraining.runs import Runs
from boneseg.server.retraining.supervisor import Retraining
from boneseg.server.storage.library import Library
from tests.support.lightbox import fill

DONE = """{
  "number": 1,
  "films": 4,
  "minutes": 10.0,
  "state": "done",
  "stage": "done",
  "checks": [{"done": 0.5, "loss": 0.31, "dice": 0.88}, {"done": 1.0, "loss": NaN, "dice": 0.9}],
  "held_back": 1,
  "before": {"dice": 0.91, "cases": {"hand": 0.91}},
  "after": {"dice": 0.93, "cases": {"hand": 0.93}},
  "error": null,
  "used": true,
  "resumed": 0
}
"""
REQUEST = """{
  "model": "/opt/boneseg/models/bones",
  "settings": [
    "run.minutes=10.0"
  ]
}
"""
HELD_OUT = """{
"foot": false,
"version": false,
"hand": true
}
"""


def test_documents_without_a_version_are_read(tmp_path: Path) -> None:
    path = tmp_path / "document.json"
    path.write_text(DONE)
    run = Run.load(path)
    assert (run.number, run.films, run.minutes, run.held_out) == (1, 4, 10, 1)
    assert run.checks[0] == Check(0.5, 0.31, 0.88) and math.isnan(run.checks[1].loss)
    assert (run.before, run.after) == (Score(0.91, {"hand": 0.91}), Score(0.93, {"hand": 0.93}))
    path.write_text(REQUEST)
    assert Request.load(path).settings == ["run.minutes=10.0"]
    path.write_text(HELD_OUT)
    assert HeldOut.load(path).films == json.loads(HELD_OUT)


def test_a_run_of_an_earlier_version_is_offered(tmp_path: Path) -> None:
    library = Library(fill(tmp_path / "films", "hand"))
    folder = library.hidden / "runs" / "0001"
    (folder / "bundle").mkdir(parents=True)
    (folder / "bundle" / "model.json").write_bytes((bundled() / "model.json").read_bytes())
    (folder / "outcome.json").write_text(DONE)
    assert Retraining(library).finished(1).held_out == 1


def test_a_run_that_an_earlier_version_left_is_resumed(tmp_path: Path) -> None:
    runs = Runs(tmp_path)
    (tmp_path / "0001" / "films").mkdir(parents=True)
    (tmp_path / "0001" / "wish.json").write_text(REQUEST)
    left = json.loads(DONE) | {"state": "running", "after": None, "used": False}
    (tmp_path / "0001" / "outcome.json").write_text(json.dumps(left))
    run = runs.latest()
    assert run is not None and run.state == "interrupted" and runs.can_resume(run)


def test_films_that_an_earlier_version_held_out_stay_held_out(tmp_path: Path) -> None:
    record = tmp_path / "held-back.json"
    record.write_text(HELD_OUT)
    cases = [Case(name, Path(name), Path(name)) for name in ("foot", "version", "hand", "new")]
    training, held_out = hold_out(cases, range(4), record, {case.name for case in cases})
    assert {case.name for case in training} >= {"foot", "version"}
    assert "hand" in {case.name for case in held_out}
    assert HeldOut.load(record).films.keys() == {"foot", "version", "hand", "new"}


def test_a_damaged_record_of_held_out_films_stops_the_training(tmp_path: Path) -> None:
    record = tmp_path / "held-back.json"
    record.write_text("{")
    cases = [Case(name, Path(name), Path(name)) for name in "abcd"]
    with pytest.raises(BonesegError, match=r"held-back.json: is damaged"):
        hold_out(cases, range(4), record, {case.name for case in cases})
    assert record.read_text() == "{"


def test_a_run_is_updated_by_the_messages_of_its_process() -> None:
    run = Run(number=1, films=4, minutes=1)
    sent = [
        Message(stage="training", held_out=2, before=Score(0.5, {"hand": 0.5})),
        Message(check=Check(0.5, math.inf, 0.7)),
        Message(check=Check(1.0, 0.2, 0.8)),
        Message(after=Score(0.9, {"hand": 0.9})),
    ]
    for message in sent:
        line = json.dumps(message.model_dump(exclude_none=True))
        run.receive(Message.model_validate(json.loads(line)))
    assert (run.stage, run.held_out, run.error) == ("training", 2, None)
    assert [check.dice for check in run.checks] == [0.7, 0.8]
    assert run.before == Score(0.5, {"hand": 0.5}) and run.after == Score(0.9, {"hand": 0.9})


def test_a_resumed_run_replaces_the_checks_that_its_checkpoint_lacked() -> None:
    run = Run(number=1, films=4, minutes=1)
    for done in (0.1, 0.2, 0.3, 0.25, 0.4):  # ended after 0.3; the checkpoint was of 0.2
        run.receive(Message(check=Check(done, 0.2, 0.8)))
    assert [check.done for check in run.checks] == [0.1, 0.2, 0.25, 0.4]


@pytest.mark.parametrize(
    ("before", "after", "p", "outcome"),
    [
        (0.8, 0.9, 0.01, "better"),
        (0.8, 0.9, 0.05, "unclear"),
        (0.8, 0.8, 0.01, "unclear"),
        (0.9, 0.8, 0.01, "worse"),
        (0.9, 0.8, 1.0, "worse"),
    ],
)
def test_a_model_is_better_only_where_that_is_shown(
    before: float, after: float, p: float, outcome: str
) -> None:
    run = Run(number=1, films=30, minutes=1, scoring=6, p=p)
    run.before, run.after = Score(before), Score(after)
    assert run.outcome == outcome


def test_a_run_without_figures_has_an_unknown_outcome() -> None:
    run = Run(number=1, films=4, minutes=1)
    run.receive(Message(scoring=2, no_figure="too few films"))
    run.receive(Message(finished=True))
    assert (run.outcome, run.no_figure, run.finished) == ("unknown", "too few films", True)
    run.before, run.after, run.scoring = Score(0.5), Score(0.9), None  # by an earlier version
    assert run.outcome == "unknown"
