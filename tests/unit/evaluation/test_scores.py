"""Scores of a case, and their summary over cases."""

import json
import math
import pickle
from dataclasses import replace

import numpy as np
import pytest

from boneseg.evaluation.metrics import columns
from boneseg.evaluation.scores import CaseScores, Scores, score, summarise


def square(size=20, at=(5, 5), side=6):
    mask = np.zeros((size, size), bool)
    mask[at[0] : at[0] + side, at[1] : at[1] + side] = True
    return mask


# The policy, by example


def test_scores_are_read_by_attribute_or_name():
    found = score(square(), square(at=(5, 6)))
    assert found.dice == found["dice"] == found.values["dice"] == pytest.approx(5 / 6)
    assert found.iou == found["iou"]
    assert found.hd_mm is None
    with pytest.raises(KeyError):
        found["hd_mm"]
    with pytest.raises(AttributeError, match="no metric named 'dise'"):
        found.dise  # noqa: B018


def test_scores_pass_between_processes():
    found = score(square(), square(at=(5, 6)))
    assert pickle.loads(pickle.dumps(found)) == found


def test_scores_show_every_value():
    assert repr(score(square(), square())).startswith("Scores(dice=1.0, iou=1.0, ")


def test_scores_are_read_from_json_as_they_were_written():
    found = score(square(), square(at=(5, 6)), (0.5, 0.5))
    assert Scores.from_json(json.loads(json.dumps(found.to_json()))) == found


def test_scores_of_an_older_version_lack_a_metric_and_those_of_a_newer_one_have_more():
    document = score(square(), square(at=(5, 6))).to_json()
    assert Scores.from_json(document | {"cldice": 0.5}) == Scores.from_json(document)
    del document["nsd"]
    assert Scores.from_json(document) is None


@pytest.mark.parametrize("wrong", ["much", math.nan, None])
def test_scores_that_are_not_numbers_are_a_value_error(wrong):
    document = score(square(), square()).to_json() | {"dice": wrong}
    with pytest.raises(ValueError, match="dice is not a finite number"):
        Scores.from_json(document)


def test_a_summary_knows_the_patients_of_its_cases():
    pairs = cases(*[(np.eye(4, dtype=bool), np.tri(4, k=i % 3, dtype=bool)) for i in range(12)])
    grouped = [replace(case, group=f"patient {i % 3}") for i, case in enumerate(pairs)]
    assert summarise(grouped).mean == summarise(pairs).mean
    assert summarise(grouped).ci95["dice"] != summarise(pairs).ci95["dice"]


def cases(*pairs, spacing=None):
    return [CaseScores(f"film{i}", score(*pair, spacing)) for i, pair in enumerate(pairs)]


def test_a_summary_averages_every_case():
    nothing = np.zeros((20, 20), bool)
    summary = summarise(cases((square(), square()), (nothing, square())))
    assert summary.mean["dice"] == 0.5
    assert summary.std["dice"] == pytest.approx(math.sqrt(0.5))
    assert summary.mean["hd95_px"] == pytest.approx(math.hypot(20, 20) / 2)
    assert summary.ci95["dice"][0] <= summary.mean["dice"] <= summary.ci95["dice"][1]


def test_an_empty_prediction_is_counted_only_where_there_was_bone():
    nothing = np.zeros((20, 20), bool)
    pairs = [(nothing, square()), (nothing, nothing), (square(), nothing), (square(), square())]
    assert summarise(cases(*pairs)).empty_predictions == 1


def test_millimetres_are_averaged_only_where_every_spacing_is_known():
    pair = (square(), square(at=(6, 5)))
    known, unknown = cases(pair, spacing=(0.5, 0.5)), cases(pair)
    assert summarise(known).mean["hd_mm"] == 0.5
    assert "hd_mm" not in summarise(known + unknown).mean
    assert summarise(known + unknown).mean["hd_px"] == 1.0


def test_one_case_has_no_spread():
    summary = summarise(cases((square(), square(at=(6, 5)))))
    dice = summary.mean["dice"]
    assert summary.std["dice"] == 0.0
    assert summary.ci95["dice"] == (dice, dice)


def test_the_json_document_keeps_the_contract():
    summary = summarise(cases((square(), square(at=(6, 5)))))
    document = json.loads(json.dumps(summary.to_json(), allow_nan=False))
    assert list(document) == ["cases", "mean", "ci95", "empty_predictions"]
    assert list(document["cases"][0]) == ["name", *columns(), "empty_prediction", "empty_truth"]
    assert document["cases"][0]["name"] == "film0"
    assert document["cases"][0]["hd_mm"] is None
    assert document["mean"].keys() == document["ci95"].keys() == summary.std.keys()
    assert len(document["ci95"]["hd95_px"]) == 2


def test_a_summary_of_nothing_is_still_a_document():
    assert summarise([]).to_json() == {"cases": [], "mean": {}, "ci95": {}, "empty_predictions": 0}
