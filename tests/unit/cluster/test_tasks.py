from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

pytest.importorskip("ray", reason="needs ray: pip install 'boneseg[cluster]'")

import ray
from ray.exceptions import RayTaskError, WorkerCrashedError

from boneseg.bundle.shipped import bundled
from boneseg.bundle.store import load_bundle
from boneseg.cluster import tasks
from boneseg.cluster.storage import Storage
from boneseg.cluster.tasks import _Answer, _bundle, _content, _Job, _Order, _perform, _Run
from boneseg.errors import OutputError, ServiceError, TrainingError


@dataclass(frozen=True)
class Fold:
    name: str = "fold-1"
    record: str = "fold-1/fold.json"


def run(tmp_path: Path, kept: Path | None = None) -> _Run[None, Fold, None]:
    """A run that nothing has been started of."""
    return _Run(lambda *_: None, None, iter(()), tmp_path, Storage(str(kept or tmp_path)), 1)  # type: ignore[arg-type]


def answers(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    def get(_: object) -> object:
        raise error

    monkeypatch.setattr(ray, "get", get)


def test_a_task_whose_worker_dies_is_started_again_and_fails_in_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers(monkeypatch, WorkerCrashedError())
    one, job = run(tmp_path), _Job(Fold())
    for _ in range(tasks.DEATHS):
        assert list(one._finished(None, job)) == []  # type: ignore[arg-type]
        job = one.again.popleft()
    ((task, error),) = one._finished(None, job)  # type: ignore[arg-type]
    assert task == Fold()
    assert isinstance(error, TrainingError) and "4 workers died over it" in str(error)
    assert not one.again


@pytest.mark.parametrize(
    ("error", "raised"),
    [
        (RayTaskError("f", "No module named 'boneseg'", ValueError()), ServiceError),
        (RayTaskError("f", "", OutputError("out: full")), OutputError),
    ],
)  # fmt: skip
def test_other_errors_end_the_run(
    error: Exception, raised: type[Exception], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers(monkeypatch, error)
    with pytest.raises(raised):
        list(run(tmp_path)._finished(None, _Job(Fold())))  # type: ignore[arg-type]


def test_the_record_of_a_task_is_written_last_and_its_checkpoints_are_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[str] = []
    real: Callable[[Path], object] = tasks.whole_file
    monkeypatch.setattr(tasks, "whole_file", lambda path: written.append(path.name) or real(path))
    kept = tmp_path / "kept"
    (kept / "fold-1").mkdir(parents=True)
    (kept / "fold-1" / "checkpoint").write_text("old")
    run(tmp_path / "run", kept)._take(
        Fold(), {"fold-1/fold.json": b"{}", "fold-1/bundle/model.json": b"", "knee.png": b"p"}
    )
    assert written[-1] == "fold.json" and len(written) == 3
    assert (tmp_path / "run" / "knee.png").read_bytes() == b"p"
    assert list(kept.iterdir()) == []


def test_a_task_without_files_leaves_no_checkpoint_in_the_run(tmp_path: Path) -> None:
    (tmp_path / "fold-1").mkdir()
    run(tmp_path)._take(Fold(), {})
    assert not (tmp_path / "fold-1").exists()


def collapse(_: object, task: Fold, out: Path) -> None:
    (out / task.name / "history.csv").write_text("step")
    raise TrainingError(f"{out / task.name}: the run collapsed")


def test_a_task_names_the_folder_of_the_run_and_not_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ray, "get", lambda one: one)
    monkeypatch.setattr(tasks, "_prepare", lambda: None)
    order = _Order(collapse, Fold(), str(tmp_path / "none"), "runs/cv")
    answer: _Answer[None] = _perform(tasks.version("boneseg"), [None], [order])  # type: ignore[list-item]
    assert str(answer.outcome) == "runs/cv/fold-1: the run collapsed"
    assert answer.files == {"fold-1/history.csv": b"step"}


def test_a_bundle_goes_to_other_machines_with_its_files() -> None:
    sent = load_bundle(bundled())
    received = _bundle(_content(sent))
    assert received.card == sent.card and received.path != sent.path
