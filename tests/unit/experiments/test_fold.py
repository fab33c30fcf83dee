"""The record of a fold is read as it was written, also by a later version."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from boneseg.errors import TrainingError
from boneseg.evaluation.metrics import METRICS, columns
from boneseg.evaluation.scores import score
from boneseg.experiments.crossval import CrossvalPlan
from boneseg.experiments.fold import CaseRecord, FoldRecord, read_fold
from boneseg.masks.formats.png import write_mask
from tests.support import ROOT
from tests.support.damage import DEEP, one_line
from tests.support.datasets import decoded

OLD = ROOT / "tests/support/old_forms"
KNEE = decoded("knee")
FOUND = np.roll(KNEE.mask, 2, axis=0)  # a mask that is nearly right
SCORES = score(FOUND, KNEE.mask)


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """A run with one fold of one film."""
    (tmp_path / "fold-1").mkdir()
    (tmp_path / "out_of_fold").mkdir()
    write_mask(tmp_path / "out_of_fold" / "knee_mask.png", FOUND)
    FoldRecord(
        cases=(CaseRecord("knee", SCORES.to_json()),),
        trust=(None,),
        threshold=0.4,
        restarts=1,
        seconds=2.5,
        parameters=7,
    ).write(tmp_path / "fold-1" / "fold.json")
    return tmp_path


def changed(out: Path, **scores: object) -> None:
    """Change the scores in fold.json; None removes one."""
    path = out / "fold-1" / "fold.json"
    content = json.loads(path.read_text())
    kept = content["cases"][0]["scores"] | scores
    content["cases"][0]["scores"] = {k: v for k, v in kept.items() if v is not None or "mm" in k}
    path.write_text(json.dumps(content))


def test_a_fold_is_read_as_it_was_written(out: Path) -> None:
    fold = read_fold(out, 1, [KNEE])
    assert (fold.number, fold.threshold, fold.restarts, fold.seconds) == (1, 0.4, 1, 2.5)
    assert [(case.name, case.scores) for case in fold.cases] == [("knee", SCORES)]


def test_a_fold_of_the_first_version_is_read(out: Path) -> None:
    """Written before fold.json had a version: the scores stood beside the name."""
    text = (OLD / "fold.json").read_text()
    (out / "fold-1" / "fold.json").write_text(text)
    old = json.loads(text)
    films = [decoded(case["name"]) for case in old["cases"]]
    fold = read_fold(out, 1, films)
    assert len(fold.cases) == len(films) == 6
    for case, before in zip(fold.cases, old["cases"], strict=True):
        assert case.to_json() == before
    assert list(fold.trust) == old["trust"]
    assert fold.parameters == old["parameters"]


def test_a_film_that_was_calibrated_since_is_scored_with_its_new_millimetres(out: Path) -> None:
    for spacing in ((0.1, 0.1), (0.2, 0.2)):
        film = replace(KNEE, radiograph=replace(KNEE.radiograph, spacing_mm=spacing))
        assert read_fold(out, 1, [film]).cases[0].scores == score(FOUND, KNEE.mask, spacing)


@pytest.mark.parametrize("metric", [name for name in METRICS if "mm" not in name])
def test_a_metric_that_an_older_version_lacks_is_computed_from_the_mask(
    out: Path, metric: str
) -> None:
    changed(out, **{"dice": 0.1, metric: None})
    assert read_fold(out, 1, [KNEE]).cases[0].scores == SCORES


def test_a_metric_of_a_newer_version_is_ignored(out: Path) -> None:
    changed(out, boundary_iou=0.3)
    assert read_fold(out, 1, [KNEE]).cases[0].scores == SCORES


def test_without_the_mask_a_missing_metric_is_damage(out: Path) -> None:
    changed(out, nsd=None)
    (out / "out_of_fold" / "knee_mask.png").unlink()
    with pytest.raises(TrainingError, match=r"fold\.json: is damaged; delete it and --resume"):
        read_fold(out, 1, [KNEE])


def test_the_group_of_a_film_is_that_of_the_dataset(out: Path) -> None:
    film = replace(KNEE, case=replace(KNEE.case, group="P1"))
    assert read_fold(out, 1, [film]).cases[0].group == "P1"


def test_a_plan_of_the_first_version_is_read() -> None:
    old = json.loads((OLD / "plan.json").read_text())
    plan = CrossvalPlan.read(OLD / "plan.json")
    assert (plan.films, plan.folds, plan.init) == (old["films"], 3, None)
    assert [list(row) for row in plan.rows] == old["dealt"]
    run = old["recipe"]["run"] | {"batch_invariant": False}  # which recipes of then did not have
    assert plan.recipe.model_dump(mode="json") == old["recipe"] | {"summary": "", "run": run}


FOLD = {
    "cases": [],
    "trust": [],
    "threshold": 0.5,
    "restarts": 0,
    "seconds": 1.0,
    "parameters": 1,
}


def old_case(**words: Any) -> dict[str, Any]:
    scores = dict.fromkeys([*columns(), "empty_prediction", "empty_truth"], 0.5)
    return {"name": "knee"} | scores | words


@pytest.mark.parametrize(
    "document",
    [
        *("[" * DEEP, "", "5", "[]", "{}", json.dumps(FOLD)),
        json.dumps(FOLD | {"cases": [old_case()]}),  # of one film, and of how many is it trusted?
        json.dumps(FOLD | {"cases": [old_case(dice="much")], "trust": [0.5]}),
        json.dumps(FOLD | {"cases": [old_case(dice=float("nan"))], "trust": [0.5]}),
        json.dumps(FOLD | {"cases": [old_case(name="another")], "trust": [0.5]}),
        json.dumps(FOLD | {"cases": [old_case(name=["knee"])], "trust": [0.5]}),
        json.dumps(FOLD | {"cases": [old_case()], "trust": ["x"]}),
        json.dumps(FOLD | {"cases": [old_case()], "trust": [0.5], "seconds": None}),
        json.dumps(FOLD | {"cases": {"a": 1}, "trust": [0.5]}),
    ],
)
def test_a_damaged_fold_is_one_line(document: str, tmp_path: Path) -> None:
    path = tmp_path / "fold-1" / "fold.json"
    path.parent.mkdir()
    path.write_text(document)
    with pytest.raises(TrainingError, match="delete it and --resume") as error:
        read_fold(tmp_path, 1, [KNEE])
    one_line(error, path)


def test_a_whole_fold_is_read(tmp_path: Path) -> None:
    (tmp_path / "fold-1").mkdir()
    whole = FOLD | {"cases": [old_case()], "trust": [None]}
    (tmp_path / "fold-1" / "fold.json").write_text(json.dumps(whole))
    assert read_fold(tmp_path, 1, [KNEE]).summary.mean["dice"] == 0.5
