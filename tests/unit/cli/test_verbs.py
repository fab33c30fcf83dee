"""The verbs, and what calling one imports."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from boneseg.cli.verbs import VERBS, verb


def test_the_verbs_are_those_of_the_contract_in_its_order() -> None:
    assert list(VERBS) == [
        *("segment", "check", "train", "crossval", "compare", "tune", "evaluate", "convert"),
        *("simulate", "recipes", "serve", "pacs", "node", "demo"),
    ]


@pytest.mark.parametrize("name", VERBS)
def test_each_verb_has_its_function(name: str) -> None:
    assert verb(name).__name__ == name
    with pytest.raises(KeyError):
        verb("sgment")


def test_only_the_module_of_the_called_verb_is_imported() -> None:
    code = (
        "import json, sys; from boneseg.cli.verbs import verb; verb('recipes'); "
        "print(json.dumps([name for name in sys.modules if name.startswith('boneseg.cli.')]))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    found = set(json.loads(done.stdout))
    assert "boneseg.cli.training" in found
    assert found.isdisjoint(
        f"boneseg.cli.{name}" for name in ("films", "segment", "services", "simulation")
    )
