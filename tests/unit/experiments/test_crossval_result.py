"""fold.json and crossval.json: damaged ones are refused in one line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from boneseg.errors import TrainingError
from boneseg.evaluation.metrics import columns
from boneseg.experiments import crossval
from tests.support.damage import DEEP, one_line

# --- runs ---


FOLD = {
    "cases": [],
    "trust": [],
    "threshold": 0.5,
    "restarts": 0,
    "seconds": 1.0,
    "parameters": 1,
}


def case(**words: Any) -> dict[str, Any]:
    scores = dict.fromkeys([*columns(), "empty_prediction", "empty_truth"], 0.5)
    return {"name": "knee"} | scores | words


@pytest.mark.parametrize(
    "document",
    [
        *("[" * DEEP, "", "5", "[]", "{}", json.dumps(FOLD)),
        json.dumps(FOLD | {"cases": [case()]}),  # of one film, and of how many is it trusted?
        json.dumps(FOLD | {"cases": [case(dice="much")], "trust": [0.5]}),
        json.dumps(FOLD | {"cases": [case(dice=float("nan"))], "trust": [0.5]}),
        json.dumps(FOLD | {"cases": [case(name="another")], "trust": [0.5]}),
        json.dumps(FOLD | {"cases": [case(name=["knee"])], "trust": [0.5]}),
        json.dumps(FOLD | {"cases": [case()], "trust": ["x"]}),
        json.dumps(FOLD | {"cases": [case()], "trust": [0.5], "seconds": None}),
        json.dumps(FOLD | {"cases": {"a": 1}, "trust": [0.5]}),
    ],
)
def test_a_damaged_fold_is_one_line(document: str, tmp_path: Path) -> None:
    pytest.importorskip("torch")
    path = tmp_path / "fold-1" / "fold.json"
    path.parent.mkdir()
    path.write_text(document)
    with pytest.raises(TrainingError, match="delete it and --resume") as error:
        crossval._read_fold(tmp_path, 1, {"knee": None})
    one_line(error, path)


def test_a_whole_fold_is_read(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    (tmp_path / "fold-1").mkdir()
    whole = FOLD | {"cases": [case()], "trust": [None]}
    (tmp_path / "fold-1" / "fold.json").write_text(json.dumps(whole))
    assert crossval._read_fold(tmp_path, 1, {"knee": None}).summary.mean["dice"] == 0.5
