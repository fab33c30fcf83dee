"""Volumes are projected, and noise has the requested grain."""

from __future__ import annotations

import numpy as np

from boneseg.simulate.volume import smooth_noise


def test_smooth_noise_has_unit_variance_and_fills_its_shape() -> None:
    noise = smooth_noise(np.random.default_rng(0), (31, 50, 42), 6.0)
    assert noise.shape == (31, 50, 42) and noise.dtype == np.float32
    assert 0.7 < noise.std() < 1.2
    assert np.abs(np.diff(noise, axis=1)).mean() < 0.5 * noise.std()
