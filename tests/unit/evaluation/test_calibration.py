"""The threshold moves where the films agree that it should, and stays where they do not."""

from __future__ import annotations

import numpy as np
import pytest

from boneseg.evaluation.calibration import (
    THRESHOLDS,
    calibrated_threshold,
    calibration_error,
    fitted_temperature,
)
from boneseg.inference.temperature import scaled


def truth(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).random((40, 40)) < 0.3


def test_low_probabilities_need_a_low_threshold() -> None:
    masks = [truth(seed) for seed in range(8)]
    timid = [np.where(mask, 0.32, 0.1).astype(np.float32) for mask in masks]
    assert 0.1 < calibrated_threshold(timid, masks) <= 0.32


def test_one_film_in_ten_does_not_move_it() -> None:
    masks = [truth(seed) for seed in range(10)]
    sure = [np.where(mask, 0.9, 0.1).astype(np.float32) for mask in masks]
    sure[0] = np.where(masks[0], 0.42, 0.1).astype(np.float32)
    assert calibrated_threshold(sure, masks) == 0.5


def test_one_film_alone_leaves_it() -> None:
    assert calibrated_threshold([np.full((9, 9), 0.3, np.float32)], [np.ones((9, 9), bool)]) == 0.5
    assert 0.5 in THRESHOLDS


def test_a_temperature_corrects_overconfidence() -> None:
    rng = np.random.default_rng(1)
    true = rng.random((3, 80, 80)).astype(np.float32) * 0.8 + 0.1
    truth = list(rng.random(true.shape) < true)
    loud = list(scaled(true, 1 / 3))
    temperature = fitted_temperature(loud, truth)
    assert temperature == pytest.approx(3, rel=0.1)
    mended = [scaled(one, temperature) for one in loud]
    assert calibration_error(mended, truth) < 0.02 < calibration_error(loud, truth)
