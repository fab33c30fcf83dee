"""Benchmarks and scripts take hours to run; that each still finds all it calls is seen at once."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

import pytest
import torch

from tests.support import ROOT

PROGRAMS = sorted([*ROOT.glob("benchmarks/**/[!_]*.py"), *ROOT.glob("scripts/*.py")])


@pytest.mark.parametrize("path", PROGRAMS, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_a_program_finds_what_it_imports(path: Path) -> None:
    import_module(".".join(path.relative_to(ROOT).with_suffix("").parts))


def test_a_share_of_the_weights_before_a_training_stays() -> None:
    between = import_module("scripts.train_bundled").between
    tuned, before = (torch.nn.Sequential(torch.nn.Conv2d(1, 2, 3)) for _ in range(2))
    mixed = between(tuned, before, 0.25)
    expected = 0.75 * tuned[0].weight + 0.25 * before[0].weight
    torch.testing.assert_close(mixed[0].weight, expected)
    assert torch.equal(between(tuned, before, 0.0)[0].weight, tuned[0].weight)
