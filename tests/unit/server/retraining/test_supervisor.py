"""The process of a retraining is started, followed and stopped."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from boneseg.server.errors import ConflictError, NotFoundError, ServerError
from boneseg.server.retraining import supervisor
from boneseg.server.retraining.supervisor import Retraining
from boneseg.server.storage.library import Library
from boneseg.server.storage.mask_states import NO_MASK
from tests.support.lightbox import fill, png

MESSAGES = [
    '{"stage": "training", "held_out": 1, "before": {"dice": 0.5, "cases": {"hand": 0.5}}}',
    "a library prints this",
    '{"check": {"done": 0.5, "loss": 0.3, "dice": 0.7}}',
    '{"after": {"dice": 0.9, "cases": {"hand": 0.9}}, "finished": true}',
]


@pytest.fixture
def library(tmp_path: Path) -> Library:
    """Four films with accepted masks."""
    (tmp_path / "films" / "images").mkdir(parents=True)
    for number in range(4):
        png(tmp_path / "films" / "images" / f"{number}.png", np.eye(60, dtype=np.uint8))
    library = Library(tmp_path / "films")
    for entry in library.entries():
        library.save(entry.id, np.eye(60, dtype=bool), "accepted", NO_MASK)
    return library


@pytest.fixture
def process(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Replaces the retraining process by a script."""
    start = subprocess.Popen

    def run(script: str) -> None:
        def popen(_: list[str], **how: object) -> subprocess.Popen[str]:
            return start([sys.executable, "-c", script], **how)  # type: ignore[call-overload]

        monkeypatch.setattr(supervisor.subprocess, "Popen", popen)

    return run


def until(true: Callable[[], bool]) -> None:
    for _ in range(1200):
        if true():
            return
        time.sleep(0.05)
    raise AssertionError("not within 60 s")


def test_a_finished_run_has_the_scores_of_both_models(
    library: Library, process: Callable[[str], None]
) -> None:
    process(f"print({chr(10).join(MESSAGES)!r})")
    retraining = Retraining(library)
    run = retraining.start(Path("model"), 1)
    until(lambda: run.state != "running")
    assert (run.state, run.held_out, run.error) == ("done", 1, None)
    assert run.before is not None and run.after is not None
    assert (run.before.dice, run.after.dice, run.checks[0].dice) == (0.5, 0.9, 0.7)
    assert retraining.finished(1) is run
    with pytest.raises(NotFoundError, match="run 2"):
        retraining.finished(2)
    until(lambda: not (retraining.runs.folder(run) / "films").exists())


@pytest.mark.parametrize(
    ("script", "error"),
    [
        ("import sys; sys.exit('no space left')", r"^the training failed \(1\) \(no space left\)"),
        ("import os; os.kill(os.getpid(), 9)", r"^the training was killed, perhaps for lack of"),
        ('print(\'{"error": "too few films"}\'); raise SystemExit(1)', r"^too few films$"),
        ("pass", r"^the training failed \(0\)"),
    ],
)
def test_a_failed_run_says_why(
    library: Library, process: Callable[[str], None], script: str, error: str
) -> None:
    process(script)
    run = Retraining(library).start(Path("model"), 1)
    until(lambda: run.state != "running")
    assert run.state == "failed" and re.search(error, run.error or "")


def test_a_run_is_stopped_and_the_next_one_keeps_its_films(
    library: Library, process: Callable[[str], None]
) -> None:
    process("import time; time.sleep(600)")
    retraining = Retraining(library)
    first = retraining.start(Path("model"), 1)
    with pytest.raises(ConflictError, match="a training is running"):
        retraining.start(Path("model"), 1)
    assert retraining.stop().state == "stopped"
    with pytest.raises(ConflictError, match="no training is running"):
        retraining.stop()
    second = retraining.start(Path("model"), 1)  # while the first is tidied
    until(lambda: not (retraining.runs.folder(first) / "films").exists())
    assert (retraining.runs.folder(second) / "films").is_dir()
    retraining.close()
    assert second.state == "interrupted"
    assert (retraining.runs.folder(second) / "films").is_dir()  # for the next server


def test_too_few_accepted_films_are_refused(tmp_path: Path) -> None:
    library = Library(fill(tmp_path / "films", "hand"))
    with pytest.raises(ConflictError, match="accepted films: 0; accept at least 4"):
        Retraining(library).start(Path("model"), 1)


def test_without_torch_nothing_is_trained_or_resumed(
    library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervisor, "is_installed", lambda _: False)
    with pytest.raises(ServerError, match="PyTorch is not installed"):
        Retraining(library).start(Path("model"), 1)
    assert Retraining(library).resume() is None
