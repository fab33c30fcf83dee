"""Which films an epoch draws."""

from __future__ import annotations

import pytest
import torch

from boneseg.training.sampler import balancing_weights


def test_balancing_draws_every_part_alike() -> None:
    from boneseg.training.sampler import _epoch

    parts = ["hand"] * 5 + ["leg"] * 45
    weights = balancing_weights(parts, 1.0)
    drawn = torch.cat([_epoch(seed, weights) for seed in range(40)])
    assert float((drawn < 5).float().mean()) == pytest.approx(0.5, abs=0.02)
    assert (balancing_weights(parts, 0.0) == 1).all()
    assert sorted(_epoch(3, balancing_weights(parts, 0.0)).tolist()) == list(range(50))
