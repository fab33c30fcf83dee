"""Temperature scaling of probabilities."""

from __future__ import annotations

import numpy as np

from boneseg.preprocessing import Floats


def scaled(probability: Floats, temperature: float) -> Floats:
    """Calibrate probabilities by dividing their logits by a temperature (Guo et al., 2017)."""
    if temperature == 1:
        return probability
    p = np.clip(probability, 1e-7, 1 - 1e-7).astype(np.float64)
    odds = ((1 - p) / p) ** (1 / temperature)
    return np.asarray(1 / (1 + odds), np.float32)
