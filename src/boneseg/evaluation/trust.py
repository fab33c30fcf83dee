"""How well the trust score (agreement under test-time augmentation) detects bad masks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Trust:
    """How well the trust score finds the films with bad masks."""

    spearman: float  # rank correlation with the true Dice
    worst_tenth_flagged: float  # fraction of the worst tenth that is in the least trusted fifth


def trust_quality(trust: Sequence[float], dice: Sequence[float]) -> Trust | None:
    """Rate how well trust ranks films by Dice; None with fewer than ten films or no spread."""
    from scipy.stats import spearmanr

    if len(dice) < 10 or len(set(trust)) == 1 or len(set(dice)) == 1:
        return None
    worst = set(np.argsort(dice, kind="stable")[: -(-len(dice) // 10)].tolist())
    doubted = set(np.argsort(trust, kind="stable")[: -(-len(dice) // 5)].tolist())
    rank = float(spearmanr(trust, dice).statistic)
    return Trust(round(rank, 4), len(worst & doubted) / len(worst))
