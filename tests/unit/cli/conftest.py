"""Fixtures that these tests share."""

from __future__ import annotations

from pathlib import Path

import pytest

from boneseg.simulate import simulate
from tests.support.command_line import boneseg


@pytest.fixture(scope="session")
def films(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cli") / "films"
    simulate(folder, 12, seed=3, size=(96, 80))
    return folder


@pytest.fixture(scope="session")
def run(films: Path) -> Path:
    out = films.parent / "run"
    done = boneseg("train", films, "--out", out, "--recipe", "fast", "--epochs", 10)
    assert done.returncode == 0, done.stderr
    return out
