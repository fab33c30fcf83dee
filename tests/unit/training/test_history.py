"""The history of a run: a table that is read as it was written."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from boneseg.training.history import (
    Check,
    history_figures,
    read_curve,
    read_history,
    write_history,
)

checks = st.builds(
    Check,
    attempt=st.integers(1, 4),
    epoch=st.floats(0, 99),
    step=st.integers(0, 10**6),
    seconds=st.floats(0, 1e5),
    done=st.floats(0, 1),
    learning_rate=st.floats(0, 1),
    loss=st.floats(allow_nan=False),
    dice=st.floats(0, 1),
    note=st.sampled_from(["", "best", "restart: collapse"]),
)


@given(st.lists(checks, max_size=5))
def test_it_is_read_as_it_was_written(
    tmp_path_factory: pytest.TempPathFactory, history: list[Check]
) -> None:
    path = tmp_path_factory.mktemp("run") / "history.csv"
    write_history(history, path)
    assert read_history(path) == history
    assert read_curve(path) == [(check.seconds, check.dice) for check in history]


@pytest.mark.parametrize(
    "text", ["", "attempt,epoch\n1,2\n", "x", "\xff\xfe", "attempt\nx\n", "x" * 200_000]
)
def test_a_damaged_or_missing_history_is_empty(tmp_path: Path, text: str) -> None:
    path = tmp_path / "history.csv"
    assert read_history(path) == []
    path.write_bytes(text.encode("latin-1"))
    assert read_history(path) == []


def test_two_charts_are_drawn_and_a_loss_that_is_not_finite_is_left_out() -> None:
    one = Check(1, 1.0, 10, 5.0, 0.5, 1e-3, 0.4, 0.8)
    figures = history_figures([one, Check(1, 2.0, 20, 10.0, 1.0, 1e-3, math.nan, 0.9)])
    assert figures.count("<svg") == 2 and "nan" not in figures
    assert history_figures([]) == ""
