"""How well the trust score, which films get from several views of them, finds the bad masks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Trust:
    """How well the trust score finds the films whose masks are bad."""

    spearman: float  # rank correlation with the true Dice
    worst_tenth_flagged: float  # share of the worst tenth that the least trusted fifth holds


def trust_quality(trust: Sequence[float], dice: Sequence[float]) -> Trust | None:
    """How well trust ranks films by their Dice; None with fewer than ten films, or no spread."""
    from scipy.stats import spearmanr

    if len(dice) < 10 or len(set(trust)) == 1 or len(set(dice)) == 1:
        return None
    worst = set(np.argsort(dice, kind="stable")[: -(-len(dice) // 10)].tolist())
    doubted = set(np.argsort(trust, kind="stable")[: -(-len(dice) // 5)].tolist())
    rank = float(spearmanr(trust, dice).statistic)
    return Trust(round(rank, 4), len(worst & doubted) / len(worst))
