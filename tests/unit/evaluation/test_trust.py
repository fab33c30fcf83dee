"""How well trust distinguishes good masks from bad ones."""

from __future__ import annotations

import numpy as np

from boneseg.evaluation.trust import trust_quality


def test_trust_quality_counts_what_the_least_trusted_fifth_holds() -> None:
    dice = [0.1, 0.2, *np.linspace(0.8, 0.9, 18)]
    found = trust_quality(dice, dice)
    assert found is not None
    assert (found.spearman, found.worst_tenth_flagged) == (1, 1)
    blind = trust_quality([-one for one in dice], dice)
    assert blind is not None
    assert (blind.spearman, blind.worst_tenth_flagged) == (-1, 0)
    assert trust_quality(dice[:9], dice[:9]) is None
