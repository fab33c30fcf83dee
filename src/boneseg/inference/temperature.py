"""Calibration of probabilities by their logits."""

from __future__ import annotations

import math

import numpy as np

from boneseg.preprocessing import Floats


def scaled(probability: Floats, temperature: float, bias: float = 0.0) -> Floats:
    """Calibrate probabilities: divide logits by a temperature, and add a bias.

    Guo et al., 2017 (temperature scaling); with the bias, Platt, 1999.
    """
    if temperature == 1 and bias == 0:
        return probability
    p = np.clip(probability, 1e-7, 1 - 1e-7).astype(np.float64)
    odds = ((1 - p) / p) ** (1 / temperature) * math.exp(-bias)
    return np.asarray(1 / (1 + odds), np.float32)
