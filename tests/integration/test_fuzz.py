"""The harness of fuzz/: its seeds are valid files, and it detects errors."""

from __future__ import annotations

import random
import sys
from pathlib import Path

import pytest

from tests.support import ROOT

sys.path.append(str(ROOT / "fuzz"))

import run
from targets import Target, targets

TARGETS = targets()


@pytest.mark.parametrize("name", TARGETS)
def test_seeds_are_read(name: str, tmp_path: Path) -> None:
    target, made = TARGETS[name], tmp_path / "seeds"
    made.mkdir()
    path = tmp_path / target.name
    for content in target.seeds(made):
        path.write_bytes(content)
        target.read(path)


def test_a_foreign_exception_and_two_lines_are_findings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run, "FINDINGS", tmp_path / "findings")
    monkeypatch.setattr(run, "MEMORY", 2**40)
    subject = run.Subject("history", tmp_path)

    def read(path: Path) -> None:
        if path.read_bytes() == b"odd":
            raise KeyError("odd")
        if path.read_bytes() == b"lines":
            raise subject.expected("one\ntwo")

    subject.target = Target("history.csv", read, lambda folder: [])
    for content in (b"odd", b"odd", b"lines", b"good"):
        subject.check(content, timed=False)
    assert subject.figures == {"inputs": 4, "read": 3, "refused": 1, "findings": 2}
    found = sorted(path.name[:5] for path in (tmp_path / "findings" / "history").glob("*.txt"))
    assert found == ["KeyEr", "lines"]


def test_mutations_are_those_of_their_seed() -> None:
    def some(seed: int) -> list[bytes]:
        rng = random.Random(seed)
        return [run.mutate(rng, [b"a seed of some length", b"another"]) for _ in range(50)]

    assert some(1) == some(1) != some(2)
    assert len(set(some(1))) > 30
