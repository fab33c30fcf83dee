"""The files of run folders: of training, cross-validation, search, simulation and archives."""

from __future__ import annotations

import json
import shutil
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING
from unittest.mock import patch

from boneseg.evaluation.metrics import columns
from boneseg.masks.ledger import Ledger
from boneseg.radiograph.provenance import read_report
from boneseg.recipes.builtin import load_recipe
from boneseg.training.history import Check, read_history, write_history
from targets.settings import these
from targets.target import Target
from tests.support.datasets import decoded

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from boneseg.cluster.results import Results
    from boneseg.experiments.crossval import CrossvalPlan

CHECK = Check(1, 0.5, 10, 2.5, 0.1, 1e-3, 0.7, 0.8, "a note")
BEGUN = b'["knee_mask.png", "hip_mask.png"]\n["knee_mask.png", "0123456789abcdef"]\n'
PROGRESS = b"phantom 2 64 64 8\nphantom_000000,knee\nphantom_000001,hand\n"
ROWS = b'[{"source": "a.png", "digest": "ab", "outputs": {"mask": "a_mask.png"}, "error": null}]'


def _history(folder: Path) -> list[bytes]:
    path = folder / "history.csv"
    write_history([CHECK] * 3, path)
    return [path.read_bytes()]


def _report(folder: Path) -> list[bytes]:
    entry = {"input": "knee.png", "outputs": {"mask": "knee_mask.png"}, "error": None}
    return [json.dumps([entry] * 3, indent=2).encode()]


def _read_report(path: Path) -> None:
    entries = read_report(path) or []
    ledger = Ledger(path, entries)
    for entry in entries:
        str(entry.title), str(entry.key)
        for name in entry.outputs.values():
            ledger.is_foreign(name), ledger.is_changed(name)


def _read_begun(path: Path) -> None:
    ledger = Ledger(path.parent / "segment.json", [])
    ledger.begin(["knee_mask.png"])
    ledger.is_foreign("knee_mask.png"), ledger.is_changed("knee_mask.png")


def _fold(folder: Path) -> list[bytes]:
    scores = dict.fromkeys([*columns(), "empty_prediction", "empty_truth"], 0.5)
    known = {"threshold": 0.5, "restarts": 0, "seconds": 1.5, "parameters": 1000}
    return [json.dumps({"cases": [{"name": "knee", **scores}], "trust": [0.9], **known}).encode()]


def _read_fold(path: Path) -> None:
    from boneseg.experiments.fold import read_fold  # imports torch

    (path.parent / "fold-1").mkdir(exist_ok=True)
    shutil.copy(path, path.parent / "fold-1" / "fold.json")
    read_fold(path.parent, 1, [decoded("knee")])


def _checkpoint(folder: Path) -> list[bytes]:
    import torch

    from boneseg.training.checkpoint import Checkpoint, State, save
    from boneseg.training.run_folder import TrainingPlan

    settled = load_recipe("default").settle([(64, 64)])
    plan = TrainingPlan(
        films={"knee": "1"}, recipe=settled, init=None, validation=("knee",), parts=(None,)
    )
    weights = {"layer.weight": torch.ones(2, 3), "norm.count": torch.tensor(7)}
    slots = {"0": {"step": torch.tensor(3.0), "exp_avg": torch.zeros(2)}}
    state = State(step=7, history=[CHECK])
    path = folder / "checkpoint.safetensors"
    save(path, Checkpoint(plan, state, weights, weights, weights, slots))
    return [path.read_bytes()]


def _read_checkpoint(path: Path) -> None:
    from boneseg.training.checkpoint import load

    load(path)


@cache
def _plan() -> CrossvalPlan:
    from boneseg.experiments.crossval import CrossvalPlan, FoldRow

    recipe = load_recipe("default").settle([(64, 64)])
    return CrossvalPlan(
        films={"knee": "1"}, folds=2, recipe=recipe, rows=(FoldRow("knee", 1, "", ""),)
    )


def _crossval_plan(folder: Path) -> list[bytes]:
    _plan().write(folder / "plan.json")
    return [(folder / "plan.json").read_bytes()]


def _start_crossval(path: Path) -> None:
    """As a cross-validation does that is resumed."""
    from boneseg.experiments.crossval import _start

    _start(_plan(), path.parent, resume=True)


def _search(folder: Path) -> list[bytes]:
    from boneseg.experiments.tune import _distribution
    from boneseg.experiments.tune_storage import SearchPlan, open_study, place_of
    from boneseg.recipes.search_space import SPACE

    out = folder / "search"
    out.mkdir(exist_ok=True)
    plan = SearchPlan(
        films={"knee": "1"}, recipe=load_recipe("default"), space=dict(SPACE), held_out=("knee",)
    )
    if not (out / "tune.db").exists():
        study = open_study(out, place_of(out, None, False), plan, False)
        for finished in (True, False):
            trial = study.ask({name: _distribution(one) for name, one in SPACE.items()})
            trial.report(0.5, step=1)
            if finished:
                study.tell(trial, 0.9)
    return [(out / "tune.db").read_bytes()]


@cache
def _migrations() -> object:
    """Optuna reads those of its own tables anew for each database, for most of the time."""
    from optuna.storages import RDBStorage

    return RDBStorage("sqlite://")._version_manager._create_alembic_script()


@cache
def _engine(url: str) -> Engine:
    """SQLAlchemy compiles each statement once for an engine, for half of the time otherwise."""
    from sqlalchemy import create_engine

    return create_engine(url)


def _read_search(path: Path) -> None:
    from optuna.storages._rdb.storage import _VersionManager

    from boneseg.experiments.tune_storage import place_of, storage_errors

    known, place = _migrations(), place_of(path.parent, None, True)
    once = patch.object(_VersionManager, "_create_alembic_script", lambda self: known)
    engine = patch("sqlalchemy.engine.create_engine", lambda url, **_: _engine(url))
    try:
        with once, engine, storage_errors(place):
            place.read()
    finally:
        _engine(place.url).dispose()  # the next database is another file


def _read_study(path: Path) -> None:
    from boneseg.experiments.tune_storage import place_of

    place_of(path.parent, "postgresql://me@host/films", resume=True)


STUDY = b'{"version": 1, "study": "boneseg-1", "storage": "postgresql://me@host/films"}'


def _read_progress(path: Path, finished: bool = False) -> None:
    from boneseg.simulate.generate import _Done

    asked = "phantom 2 64 64 8"
    _Done(path.with_name("none.csv"), path, asked).is_finished() if finished else _Done(
        path, path.with_name("finished.csv"), asked
    ).rows()


def _read_journal(path: Path) -> None:
    from boneseg.cluster.journal import Journal
    from boneseg.cluster.storage import Storage

    place = path.parent / "journal" / "key"
    place.mkdir(parents=True, exist_ok=True)
    shutil.copy(path, place / "ab.json")
    for _ in Journal(Storage(str(path.parent)), "key").read():
        pass


def _results(out: Path) -> Results:
    from boneseg.cluster.journal import Journal
    from boneseg.cluster.results import Results
    from boneseg.cluster.storage import Storage

    storage = Storage(str(out))
    return Results(storage, "results", Journal(storage, "key"))


def _shard(folder: Path) -> list[bytes]:
    from boneseg.cluster.row import Row

    results = _results(folder)
    results.add(Row("a.png", outputs={"mask": "a_mask.png"}, width=3))
    results.add(Row("b.png", error="b.png: is damaged"))
    results.save()
    return [next((folder / "results").glob("*.parquet")).read_bytes()]


def _read_shard(path: Path) -> None:
    place = path.parent / "results"
    place.mkdir(exist_ok=True)
    shutil.copy(path, place / "part-00000.parquet")
    for _ in _results(path.parent).resume(["mask"]):
        pass


def targets() -> dict[str, Target]:
    return {
        "segment-report": Target("segment.json", _read_report, _report),
        "segment-begun": Target(".segment.json.begun", _read_begun, these(BEGUN)),
        "crossval-plan": Target("plan.json", _start_crossval, _crossval_plan),
        "crossval-fold": Target("fold.json", _read_fold, _fold),
        "history": Target("history.csv", read_history, _history),
        "checkpoint": Target("checkpoint.safetensors", _read_checkpoint, _checkpoint),
        "search-database": Target("tune.db", _read_search, _search),
        "search-study": Target("study.json", _read_study, these(STUDY)),
        "simulate-progress": Target("views.csv", _read_progress, these(PROGRESS)),
        "simulate-finished": Target(
            "films.csv", partial(_read_progress, finished=True), these(PROGRESS.splitlines(True)[0])
        ),
        "archive-journal": Target("ab.json", _read_journal, these(ROWS)),
        "archive-shard": Target("part-00000.parquet", _read_shard, _shard),
    }
