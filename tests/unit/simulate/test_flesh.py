"""Soft tissue around bones."""

import numpy as np
import pytest

from boneseg.simulate.flesh import bowel_gas, rounded


@pytest.mark.parametrize("seed", range(6))
def test_a_trunk_is_thickest_in_its_middle(seed: int) -> None:
    rng = np.random.default_rng(seed)
    bones = rng.normal((40, 60), (12, 25), (500, 2))
    share = rounded(rng, bones, (120, 80))
    assert share.shape == (120, 80)
    assert share.max() <= 1 and share.min() > 0
    assert share[60, 40] >= share[60, 79] and share[60, 40] >= share[60, 0]
    assert share[60, 40] > 0.95


@pytest.mark.parametrize("seed", range(12))
def test_gas_takes_a_share_of_the_way_and_stays_in_the_belly(seed: int) -> None:
    share = bowel_gas(np.random.default_rng(seed), (160.0, 160.0), (80, 80), 10.0)
    assert share.min() >= 0 and share.max() < 0.7
    assert share[:4].max() < 0.05
