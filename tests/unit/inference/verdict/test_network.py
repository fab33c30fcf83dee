"""The verdict network runs in NumPy as it was trained in torch."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from boneseg.bundle.shipped import verdict_weights
from boneseg.errors import BundleError
from boneseg.inference.verdict.evidence import FACTS, MAPS, SIDE, Evidence
from boneseg.inference.verdict.network import (
    PARTS,
    PROJECTIONS,
    QUALITIES,
    STRIDES,
    expected_score,
    totals,
    verdict_network,
)
from boneseg.simulate.regions import REGIONS


def evidence(seed: int = 0) -> Evidence:
    rng = np.random.default_rng(seed)
    maps = rng.normal(size=(len(MAPS), SIDE, SIDE)).clip(-1, 1).astype(np.float32)
    return Evidence(maps, rng.normal(size=len(FACTS)).astype(np.float32))


def test_an_answer_has_probabilities_of_everything() -> None:
    answer = verdict_network().answer(evidence(), every=True)
    assert answer.parts.shape == (len(PARTS),) and answer.parts.sum() == pytest.approx(1, abs=1e-5)
    assert answer.projections.shape == (len(PROJECTIONS),)
    assert answer.qualities.shape == (len(QUALITIES),)
    for shares in (answer.qualities, answer.errors):
        assert ((shares >= 0) & (shares <= 1)).all()


def test_the_parts_are_those_that_are_simulated() -> None:
    assert set(PARTS) == {region.name for region in REGIONS}


def test_the_weights_are_small() -> None:
    assert verdict_weights().stat().st_size < 1_000_000


def test_an_answer_takes_milliseconds() -> None:
    network, seen = verdict_network(), evidence()
    network.answer(seen, every=True)
    seconds = []
    for _ in range(7):
        started = time.perf_counter()
        network.answer(seen, every=True)
        seconds.append(time.perf_counter() - started)
    assert min(seconds) < 0.03


def test_it_does_not_depend_on_what_runs_it() -> None:
    torch = pytest.importorskip("torch")
    network, seen = verdict_network(), evidence(1)
    features = torch.from_numpy(seen.maps)[None]
    for (weight, bias), stride in zip(network.layers, STRIDES, strict=True):
        kernel = torch.from_numpy(weight)
        features = torch.conv2d(features, kernel, torch.from_numpy(bias), stride, 1).relu()
    pooled = torch.cat([features.mean((2, 3)), features.amax((2, 3))], 1)[0].numpy()
    weight, bias = network.heads["part"]
    logits = weight @ np.concatenate([pooled, seen.facts, [1.0]]) + bias
    expected = np.exp(logits - logits.max())
    found = network.answer(seen, every=True).parts
    assert np.abs(found - expected / expected.sum()).max() < 1e-4


def test_errors_of_cells_imply_the_quality_of_the_mask() -> None:
    mask = np.zeros((4, 4), np.float32)
    mask[:2] = 1
    none = np.zeros((2, 4, 4), np.float32)
    wrong = none.copy()
    wrong[0, 0] = 1  # half of the mask is no bone
    sensitivity, precision, dice = 1 / (1 + np.exp(-totals(wrong, mask)))
    assert precision == pytest.approx(0.5, abs=0.02) and sensitivity > 0.99
    assert dice == pytest.approx(2 / 3, abs=0.02)
    assert (totals(none, mask) > 3).all()


@pytest.mark.parametrize("damage", ["missing", "no file", "cut"])
def test_damaged_weights_are_reported(damage: str, tmp_path: Path) -> None:
    path = tmp_path / "verdict.safetensors"
    if damage == "missing":
        values = load_file(verdict_weights())
        save_file({name: value for name, value in values.items() if name != "part.bias"}, path)
    elif damage == "cut":
        path.write_bytes(verdict_weights().read_bytes()[:1000])
    with pytest.raises(BundleError, match="install boneseg again"):
        verdict_network(path)


def test_a_fitted_certainty_rises_with_it_and_stays_a_share() -> None:
    scores = [expected_score(sure, (0.4, 1.0)) for sure in np.linspace(0, 1, 101)]
    assert scores == sorted(scores) and 0 <= scores[0] < scores[-1] <= 1
    assert expected_score(0.7, (0.0, 1.0)) == pytest.approx(0.7)
