"""The loop of a training: in the process that leads, and in those that it starts.

The processes hold the same state, and compute the gradients of different films.
"""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

import torch

from boneseg._util import runtime
from boneseg.dataset.load import Films
from boneseg.errors import TrainingError
from boneseg.training.checkpoint import Weights
from boneseg.training.device import one_thread
from boneseg.training.loop import Loop, Report
from boneseg.training.placement import Place
from boneseg.training.ranks import Ranks
from boneseg.training.run_folder import CHECKPOINT, TrainingPlan
from boneseg.training.team import joined


@dataclass(frozen=True)
class Task:
    """What to train. threads: of each process that another starts."""

    plan: TrainingPlan
    training: Films
    validation: Films
    out: Path
    weights: Weights | None
    resume: bool
    threads: int


def run_loop(task: Task, ranks: Ranks, report: Report | None = None) -> Loop:
    """Train to the end of the schedule. Raises as `train`."""
    try:
        threads = one_thread() if task.plan.recipe.run.batch_invariant else nullcontext()
        # The caller's random state is unchanged.
        with torch.random.fork_rng(range(torch.cuda.device_count())), threads:
            loop = Loop(
                task.plan, task.training, task.validation, task.out, task.weights, report, ranks
            )
            if task.resume and (task.out / CHECKPOINT).exists():
                loop.restore()
            loop.check_equal()
            loop.run()
    except torch.OutOfMemoryError:
        recipe = task.plan.recipe
        size = f"{recipe.run.batch} films of {recipe.prepare.height} x {recipe.prepare.width}"
        raise TrainingError(
            f"{task.out}: not enough GPU memory for {size} per step; lower run.batch"
        ) from None
    return loop


def follow(task: Task, place: Place) -> None:
    """Train in a process that was started for it."""
    runtime.train_beside_others(task.threads)
    with joined(place, quiet=True) as ranks:
        run_loop(task, ranks)
