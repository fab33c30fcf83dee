"""Tasks are drawn when there is room for them, and a failed one does not end the others."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from boneseg._util.pools import InProcess, Processes, local_pool
from boneseg.errors import TrainingError, UsageError


@dataclass(frozen=True)
class Number:
    value: int
    name: str = "number"
    record: str = "number/done"


def half(shared: int, task: Number, out: Path) -> int:
    if task.value % 2:
        raise TrainingError(f"{out}: {task.value} is odd")
    return shared + task.value // 2


def test_a_task_is_drawn_after_the_one_before_has_ended_and_a_failed_one_is_an_outcome() -> None:
    ended: list[int] = []

    def tasks() -> Iterator[Number]:
        for value in range(3):
            assert len(ended) == value
            yield Number(value)

    outcomes = []
    for task, outcome in InProcess().run(half, 10, tasks(), Path("run")):
        ended.append(task.value)
        outcomes.append(str(outcome))
    assert outcomes == ["10", "run: 1 is odd", "11"]


def test_processes_give_the_same_outcomes() -> None:
    found = Processes(2).run(half, 10, map(Number, range(3)), Path("run"))
    assert {task.value: str(outcome) for task, outcome in found} == {
        0: "10", 1: "run: 1 is odd", 2: "11"}  # fmt: skip


def test_fewer_than_one_at_once_is_a_wrong_call() -> None:
    with pytest.raises(UsageError, match="--parallel 0: give 1 or more"):
        local_pool(0)
    assert local_pool(1).in_process and not local_pool(2).in_process
