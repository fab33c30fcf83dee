"""Each loss equals its formula, and its gradient points towards the truth."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch

from boneseg.networks.inputs import Copies, Filters, WithInputs
from boneseg.recipes.settings import LossSettings
from boneseg.training.losses import (
    LOSSES,
    Objective,
    bce_loss,
    dice_loss,
    focal_loss,
    losses_of_whole_batches,
    supervised_loss,
    total_loss,
)

TARGET = (torch.arange(64).view(1, 1, 8, 8) % 3 == 0).float()
SURE = (TARGET * 2 - 1) * 40


@pytest.mark.parametrize("name", LOSSES)
def test_the_truth_costs_nothing_and_its_inverse_most(name: str) -> None:
    assert LOSSES[name](SURE, TARGET) < 1e-4
    assert LOSSES[name](-SURE, TARGET) > 0.9


@pytest.mark.parametrize("name", LOSSES)
def test_gradients_are_finite_for_empty_and_full_films(name: str) -> None:
    for target in (torch.zeros(2, 1, 4, 4), torch.ones(2, 1, 4, 4)):
        logits = torch.full((2, 1, 4, 4), 30.0, requires_grad=True)
        LOSSES[name](logits, target).backward()
        assert logits.grad is not None
        assert bool(torch.isfinite(logits.grad).all())


def test_dice_loss_by_hand() -> None:
    logits = torch.zeros(1, 1, 2, 2)  # a half everywhere
    target = torch.tensor([[[[1.0, 0.0], [0.0, 0.0]]]])
    assert dice_loss(logits, target, smooth=1).item() == pytest.approx(1 - (1 + 1) / (2 + 1 + 1))


def test_focal_loss_is_cross_entropy_where_nothing_is_discounted() -> None:
    logits = torch.randn(2, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    target = TARGET.expand(2, 1, 8, 8)
    half = focal_loss(logits, target, gamma=0, alpha=0.5)
    assert half.item() == pytest.approx(bce_loss(logits, target).item() / 2, rel=1e-5)


def test_focal_loss_by_hand() -> None:
    logits, target = torch.tensor([[[[math.log(4.0)]]]]), torch.ones(1, 1, 1, 1)  # p = 0.8
    expected = 0.25 * 0.2**2 * -math.log(0.8)
    assert focal_loss(logits, target).item() == pytest.approx(expected, rel=1e-5)


def test_an_empty_film_has_a_finite_gradient() -> None:
    logits = torch.zeros(1, 1, 4, 4, requires_grad=True)
    total_loss(logits, torch.zeros(1, 1, 4, 4), LossSettings(dice=1, bce=1, focal=1)).backward()
    assert logits.grad is not None
    assert torch.isfinite(logits.grad).all()
    assert (logits.grad > 0).all()  # towards background


def test_a_focal_power_under_one_has_a_finite_gradient() -> None:
    logits = torch.tensor([[[[30.0, -30.0, 0.0]]]], requires_grad=True)
    focal_loss(logits, torch.tensor([[[[1.0, 0.0, 1.0]]]]), gamma=0.5).backward()
    assert logits.grad is not None and torch.isfinite(logits.grad).all()


@pytest.mark.parametrize("inputs", [None, Copies, Filters])
def test_coarse_outputs_are_compared_with_the_bone_that_they_cover(
    inputs: Callable[[], torch.nn.Module] | None,
) -> None:
    """Of 40 x 24 a network of stride 16 makes 48 x 32; each output here is exactly right."""
    mask = torch.zeros(1, 1, 40, 24)
    mask[..., 16:40, 16:24] = 1

    class Right(torch.nn.Module):
        stride = 16

        def forward(self, films: torch.Tensor) -> list[torch.Tensor]:
            assert films.shape[-2:] == (48, 32)
            whole = torch.zeros(1, 1, 48, 32)
            whole[..., 16:40, 16:24] = 1
            return [80 * torch.nn.functional.avg_pool2d(whole, side) - 40 for side in (1, 2, 4, 8)]

    network = WithInputs(inputs(), Right()) if inputs else Right()
    assert Objective(network, LossSettings())(torch.zeros_like(mask), mask) < 1e-6


def test_deep_supervision_weighs_coarse_levels_less() -> None:
    settings = LossSettings()
    fine, coarse = SURE, torch.zeros(1, 1, 4, 4)
    right = supervised_loss([fine, coarse], TARGET, settings)
    wrong = supervised_loss([torch.zeros_like(fine), coarse], TARGET, settings)
    assert supervised_loss([fine], TARGET, settings) < right < wrong


def test_built_in_losses_are_means_over_films() -> None:
    """So that several devices may divide a batch."""
    settings = LossSettings(dice=1, bce=1, focal=1)
    assert losses_of_whole_batches(settings) == []


def test_a_loss_over_the_whole_batch_is_detected(monkeypatch: pytest.MonkeyPatch) -> None:
    def batch_dice(logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        found = logits.sigmoid()
        return 1 - 2 * (found * target).sum() / (found.sum() + target.sum())

    monkeypatch.setitem(LOSSES._entries, "batch_dice", batch_dice)
    assert losses_of_whole_batches(LossSettings.model_validate({"batch_dice": 1})) == ["batch_dice"]
    assert losses_of_whole_batches(LossSettings()) == []
