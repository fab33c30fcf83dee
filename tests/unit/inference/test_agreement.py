"""How far the views of a film agree."""

from __future__ import annotations

import numpy as np
import pytest

from boneseg.inference.agreement import agreement


def test_agreement_is_the_mean_dice_of_all_pairs() -> None:
    views = np.zeros((3, 4, 4), np.float32)
    assert agreement(views, 0.5) == 1
    views[0, :2], views[1, :2], views[2, :1] = 1, 1, 1
    assert agreement(views, 0.5) == pytest.approx((1 + 2 / 3 + 2 / 3) / 3)
