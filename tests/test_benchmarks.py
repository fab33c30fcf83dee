"""Benchmarks and scripts take hours to run; that each still finds all it calls is seen at once."""

from __future__ import annotations

import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

import pytest
import torch

ROOT = Path(__file__).parent.parent
PROGRAMS = sorted([*ROOT.glob("benchmarks/*.py"), *ROOT.glob("scripts/*.py")])


def program(path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """A benchmark or script, imported from its own folder."""
    monkeypatch.syspath_prepend(str(path.parent))
    spec = spec_from_file_location(f"program_{path.stem}", path)
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    monkeypatch.setitem(sys.modules, spec.name, module)  # where dataclasses look for it
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("path", PROGRAMS, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_a_program_finds_what_it_imports(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program(path, monkeypatch)


def test_a_share_of_the_weights_before_a_training_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    between = program(ROOT / "scripts" / "train_bundled.py", monkeypatch).between
    tuned, before = (torch.nn.Sequential(torch.nn.Conv2d(1, 2, 3)) for _ in range(2))
    mixed = between(tuned, before, 0.25)
    expected = 0.75 * tuned[0].weight + 0.25 * before[0].weight
    torch.testing.assert_close(mixed[0].weight, expected)
    assert torch.equal(between(tuned, before, 0.0)[0].weight, tuned[0].weight)
