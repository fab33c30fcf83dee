"""Fixtures that these tests share."""

from __future__ import annotations

from pathlib import Path

import pytest

from boneseg.simulate import simulate
from tests.support.command_line import boneseg
from tests.support.made_once import made_once


@pytest.fixture(scope="session")
def films(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made_once(
        tmp_path_factory, "cli-films", lambda folder: simulate(folder, 12, seed=3, size=(96, 80))
    )


@pytest.fixture(scope="session")
def run(films: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    def train(out: Path) -> None:
        done = boneseg("train", films, "--out", out, "--recipe", "fast", "--epochs", 10)
        assert done.returncode == 0, done.stderr

    return made_once(tmp_path_factory, "cli-run", train)
