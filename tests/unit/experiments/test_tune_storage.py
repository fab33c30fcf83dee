"""The trials of a search on disk."""

from __future__ import annotations

import json
import os
import socket
import sqlite3
import sys
from contextlib import closing
from pathlib import Path

import pytest

from boneseg.errors import OutputError, ServiceError, TrainingError, UsageError
from boneseg.experiments import tune_storage
from boneseg.experiments.tune_storage import (
    SearchPlan,
    StudyDocument,
    open_study,
    place_of,
    storage_errors,
)
from boneseg.recipes.recipe import Recipe
from boneseg.recipes.search_space import Choices, Range
from tests.support import ROOT


@pytest.mark.parametrize("name", ["a%20b", "{a}", "50% #2 ü"])
def test_a_search_is_kept_under_any_name(name: str, tmp_path: Path) -> None:
    out = tmp_path / name
    plan = SearchPlan(films={}, recipe=Recipe(), space={}, held_out=())
    for resume in (False, True):
        open_study(out, place_of(out, None, resume), plan, resume)
    assert list(tmp_path.rglob("*.db")) == [out / "tune.db"]


def test_a_search_that_is_interrupted_while_it_begins_begins_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Optuna creates its tables one by one, and the plan is added to them."""
    plan = SearchPlan(films={}, recipe=Recipe(), space={}, held_out=())
    begun = list[str]()

    def interrupted(study: object, plan: SearchPlan) -> None:
        begun.extend(path.suffix for path in tmp_path.iterdir() if path.is_file())
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(tune_storage, "_describe", interrupted)
        open_study(tmp_path, place_of(tmp_path, None, False), plan, False)
    assert begun == [".new"]
    assert not [path for path in tmp_path.iterdir() if path.is_file()]
    for resume in (False, True):
        open_study(tmp_path, place_of(tmp_path, None, resume), plan, resume)


@pytest.mark.parametrize(
    "damage",
    [
        "INSERT INTO alembic_version VALUES ('v1')",
        "UPDATE studies SET study_name = 'another'",
        "UPDATE study_directions SET direction = 'UP'",
        "UPDATE study_user_attributes SET value_json = NULL",
        "UPDATE study_user_attributes SET value_json = '[' WHERE key = 'films'",
        "DELETE FROM study_user_attributes WHERE key = 'recipe'",
        "UPDATE trials SET state = 'LOST'",
        "UPDATE trial_params SET distribution_json = NULL",
        'UPDATE trial_params SET distribution_json = \'{"name": "x", "attributes": {}}\'',
        "UPDATE trial_params SET param_value = 'x'",
        "UPDATE trial_values SET value_type = 'x'",
        "UPDATE trial_intermediate_values SET intermediate_value_type = 'x'",
        "UPDATE trial_values SET value = 'x'",
        "UPDATE trial_intermediate_values SET intermediate_value = 'x'",
        "UPDATE trial_intermediate_values SET step = 'x'",
        "UPDATE trials SET number = 'x'",
        "UPDATE trial_params SET param_name = NULL",
        "UPDATE study_user_attributes SET value_json = CAST(X'22FF41' AS TEXT)",
        "ALTER TABLE trials RENAME COLUMN state TO status",
        "DELETE FROM trial_values",
        "DROP TABLE trial_params",
    ],
)
def test_a_damaged_search_is_refused_in_one_line(
    damage: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    space = {"optimiser.weight_decay": Range(low=0, high=1)}
    plan = SearchPlan(films={}, recipe=Recipe(), space=space, held_out=())
    study = open_study(tmp_path, place_of(tmp_path, None, False), plan, False)
    trial = study.ask()
    trial.suggest_float("optimiser.weight_decay", 0, 1)
    trial.report(0.5, step=1)
    study.tell(trial, 0.9)
    place = place_of(tmp_path, None, True)
    assert open_study(tmp_path, place, plan, True).best_value == 0.9
    with closing(sqlite3.connect(tmp_path / "tune.db")) as database:
        database.execute(damage)
        database.commit()
    with pytest.raises(OutputError) as refused, storage_errors(place):
        open_study(tmp_path, place, plan, True)
    problem = "is damaged, or not a search of boneseg; choose another --out"
    assert str(refused.value) == f"{tmp_path / 'tune.db'}: {problem}"
    assert capfd.readouterr().err == ""


def test_a_database_on_a_full_disk_is_not_damaged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = SearchPlan(films={}, recipe=Recipe(), space={}, held_out=())
    open_study(tmp_path, place_of(tmp_path, None, False), plan, False)
    place, limit = place_of(tmp_path, None, True), "PRAGMA max_page_count = 1"
    found, _ = place.read()
    with found._storage._backend.engine.connect() as database:  # type: ignore[attr-defined]
        database.exec_driver_sql(limit)
        with pytest.raises(OutputError, match=r"is full\); free disk space"), storage_errors(place):
            for number in range(1000):
                row = (1, f"more {number}", json.dumps("x" * 1000))
                columns = "study_user_attributes (study_id, key, value_json)"
                database.exec_driver_sql(f"INSERT INTO {columns} VALUES (?, ?, ?)", row)


def test_a_shared_search_needs_its_driver(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pg8000", None)
    with pytest.raises(ModuleNotFoundError) as raised:
        place_of(tmp_path, "postgresql://me@host/films", False)
    assert raised.value.name == "pg8000"


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="lists no open files")
def test_a_new_database_is_closed_before_it_is_moved_into_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Windows does not move a file that is open."""
    replace, moved = Path.replace, list[str]()

    def move(path: Path, target: Path) -> Path:
        assert str(path) not in map(os.path.realpath, Path("/proc/self/fd").iterdir())
        moved.append(target.name)
        return replace(path, target)

    monkeypatch.setattr(Path, "replace", move)
    plan = SearchPlan(films={}, recipe=Recipe(), space={}, held_out=())
    open_study(tmp_path, place_of(tmp_path, None, False), plan, False)
    assert moved == ["tune.db"]


def test_a_search_of_the_first_version_is_read() -> None:
    """The attributes of tune.db before they had a version."""
    old = json.loads((ROOT / "tests/support/old_forms/search.json").read_text())
    plan = SearchPlan.model_validate(old)
    assert plan.films == old["films"]
    assert list(plan.held_out) == old["groups.csv or parts.csv"]
    assert plan.recipe.network.width == 6
    assert plan.space["optimiser.learning_rate"] == Range(low=3e-4, high=1e-2, log=True)
    assert plan.space["network.width"] == Choices(choices=(12, 16, 24))


SECRET = "word-of-the-test"
URL = f"postgresql://me:{SECRET}@localhost:5432/trials"


@pytest.mark.parametrize(
    "url", ["trials", "mysql://host/trials", "postgresql:///x", f"postgresql://a:{SECRET}@h:p/x"]
)
def test_a_url_that_is_not_of_a_database_is_a_wrong_call(url: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--storage: give a URL as postgresql://") as caught:
        place_of(tmp_path, url, False)
    assert SECRET not in str(caught.value)


def test_a_password_is_read_from_the_environment_and_never_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PGPASSWORD", SECRET)
    place = place_of(tmp_path, "postgresql://me@localhost:5432/trials", False)
    assert place.url == f"postgresql+pg8000://me:{SECRET}@localhost:5432/trials"
    assert SECRET not in repr(place) + place.shown


def test_a_search_resumes_the_study_that_it_began_in_the_same_database(tmp_path: Path) -> None:
    assert place_of(tmp_path, URL, False).name != place_of(tmp_path, URL, False).name
    shown = "postgresql://me@localhost:5432/trials"
    StudyDocument(study="boneseg-1", storage=shown).write(tmp_path / "study.json")
    assert place_of(tmp_path, URL, True).name == "boneseg-1"
    with pytest.raises(TrainingError, match=f"was started with --storage {shown}; use that one"):
        place_of(tmp_path, URL.replace("localhost", "elsewhere"), True)
    StudyDocument(study="boneseg-1", storage="a\nb").write(tmp_path / "study.json")
    with pytest.raises(TrainingError, match=r"started with --storage a\S+b; use that one$"):
        place_of(tmp_path, URL, True)
    with pytest.raises(TrainingError, match="give its --storage"):
        place_of(tmp_path, None, True)


@pytest.mark.parametrize(
    ("details", "answer"),
    [
        ({"C": "28P01", "M": SECRET}, "refuses the password"),
        ({"C": "3D000"}, "no such database"),
        ({"C": "42501"}, "may not create tables"),
        ({"C": "57P01"}, "does not answer; start it"),
        ({"C": "22000"}, "code 22000"),
        (f"Can't create a connection, {SECRET}", "does not answer; start it"),
    ],
)
def test_a_refusal_of_the_database_has_words_of_its_own(
    details: object, answer: str, tmp_path: Path
) -> None:
    from sqlalchemy.exc import InterfaceError

    place = place_of(tmp_path, URL, False)
    with pytest.raises(ServiceError, match=answer) as caught, storage_errors(place):
        raise InterfaceError("SELECT", {}, Exception(details))
    assert str(caught.value).startswith("--storage postgresql://me@localhost:5432/trials: ")
    assert SECRET not in str(caught.value)


def test_a_server_that_is_no_database_and_never_answers_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("pg8000", reason="needs pg8000: pip install 'boneseg[cluster]'")
    monkeypatch.setattr(tune_storage, "TIMEOUT", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"postgresql://me:{SECRET}@127.0.0.1:{silent.getsockname()[1]}/trials"
        place = place_of(tmp_path, url, False)
        with pytest.raises(ServiceError, match="does not answer; start it"), storage_errors(place):
            place.study()
