"""The learning rate over a run."""

from __future__ import annotations

import pytest

from boneseg.recipes.settings import OptimiserSettings
from boneseg.training.schedule import SCHEDULES, Plateau, rate


@pytest.mark.parametrize("name", SCHEDULES)
def test_a_run_begins_with_a_warm_up_and_reaches_the_peak(name: str) -> None:
    settings = OptimiserSettings(schedule=name, learning_rate=0.1, warmup=0.2)
    rates = [rate(settings, done, Plateau()) for done in (0.0, 0.1, 0.2)]
    assert rates == pytest.approx([0.001, 0.05, 0.1])


@pytest.mark.parametrize(("name", "end"), [("cosine", 1e-3), ("poly", 1e-3), ("constant", 1)])
def test_a_schedule_ends_at_its_factor(name: str, end: float) -> None:
    settings = OptimiserSettings(schedule=name, learning_rate=0.1, warmup=0)
    assert rate(settings, 1.0, Plateau()) == pytest.approx(0.1 * end)


def test_only_plateau_follows_the_validation() -> None:
    stuck = Plateau(scale=0.5)
    for name in SCHEDULES:
        settings = OptimiserSettings(schedule=name, learning_rate=0.1, warmup=0)
        expected = 0.5 if name == "plateau" else 1.0
        assert rate(settings, 0.0, stuck) == pytest.approx(0.1 * expected)
