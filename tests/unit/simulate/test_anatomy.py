"""Arms, legs and feet made of tubes: in proportion, and never twice the same."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from boneseg.simulate.anatomy import Body, arm, foot, leg


@pytest.mark.parametrize("young", [False, True])
@pytest.mark.parametrize(("make", "fewest"), [(arm, 20), (foot, 20), (leg, 5)])
def test_a_limb_has_its_bones_within_flesh_and_differs_by_seed(
    make: Callable[..., Body], fewest: int, young: bool
) -> None:
    one, same, other = (make(np.random.default_rng(seed), young) for seed in (1, 1, 2))
    assert len(one.bones) >= fewest and one.flesh
    for tubes in one.bones:
        for tube in tubes:
            outer, inner = tube.rows[:, 1:3], tube.rows[:, 3:5]
            assert tube.length > 0 and np.isfinite(tube.rows).all()
            assert (outer >= inner - 0.06).all()  # a cortex around the spongiosa
    assert repr(one) == repr(same) != repr(other)
