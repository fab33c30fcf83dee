"""Every model of a data folder can be found again, with its date, films and figures."""

from __future__ import annotations

import shutil
from datetime import date
from pathlib import Path

import pytest

from boneseg.bundle.shipped import bundled
from boneseg.server.errors import NotFoundError
from boneseg.server.retraining.models import Models
from boneseg.server.retraining.records import Run, Score
from boneseg.server.retraining.runs import Runs


@pytest.fixture
def runs(tmp_path: Path) -> Runs:
    """Three retrainings, of which the second was stopped; the first was not compared."""
    runs = Runs(tmp_path / "runs")
    for number, state in ((1, "done"), (2, "stopped"), (3, "done")):
        run = Run(number=number, films=10 * number, minutes=1, state=state)
        if number == 3:
            run.scoring, run.p, run.before, run.after = 6, 0.03, Score(0.8), Score(0.9)
        runs.folder(run).mkdir(parents=True)
        runs.save(run)
        if state == "done":
            shutil.copytree(bundled(), runs.bundle(run))
    return runs


def test_the_newest_retraining_is_first_and_the_bundled_model_last(runs: Runs) -> None:
    third, first, last = Models(runs).all()
    assert (third.id, third.films, third.before, third.dice, third.scoring) == (
        "3",
        30,
        0.8,
        0.9,
        6,
    )
    assert (first.id, first.films, first.dice) == ("1", 10, None)
    assert third.made is not None and third.made.endswith("+00:00")
    assert (last.id, last.path) == ("bundled", bundled())
    assert last.made is not None and date.fromisoformat(last.made) > date(2026, 1, 1)
    assert third.is_at(runs.root / "0003" / "bundle") and not third.is_at(bundled())


def test_a_model_given_at_the_start_is_listed_once(runs: Runs, tmp_path: Path) -> None:
    shutil.copytree(bundled(), tmp_path / "other")
    assert [model.id for model in Models(runs, tmp_path / "other").all()][2:] == [
        "given",
        "bundled",
    ]
    assert [m.id for m in Models(runs, runs.root / "0001" / "bundle").all()] == [
        "3",
        "1",
        "bundled",
    ]


def test_a_model_that_is_not_there_is_refused(runs: Runs) -> None:
    assert Models(runs).find("1").name == "retraining 1"
    with pytest.raises(NotFoundError, match="2: no such model"):
        Models(runs).find("2")


def test_a_model_in_use_has_the_name_of_the_list_without_reading_it(
    runs: Runs, tmp_path: Path
) -> None:
    listed = Models(runs, tmp_path / "other")
    (tmp_path / "other").mkdir()
    paths = [bundled(), tmp_path / "other", runs.root / "0003" / "bundle"]
    assert [listed.name_of(path) for path in paths] == [
        "bundled",
        "given at the start",
        "retraining 3",
    ]
    assert listed.name_of(tmp_path / "first" / "bundle") == "first/bundle"  # of an earlier start
