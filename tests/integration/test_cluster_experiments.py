"""crossval, compare and tune with --cluster: the figures of one machine, whatever is killed."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from threading import Thread

import pytest
from optuna import Study
from optuna.trial import create_trial

from boneseg.dataset.open import Dataset, open_dataset
from boneseg.errors import ServiceError
from boneseg.experiments.compare import compare_recipes
from boneseg.experiments.compare_result import Comparison
from boneseg.experiments.crossval import cross_validate
from boneseg.experiments.tune import tune_recipe
from boneseg.experiments.tune_storage import place_of
from boneseg.recipes.search_space import Range
from boneseg.simulate import simulate
from tests.support.cluster import cluster
from tests.support.experiments import recipe
from tests.support.postgres import database
from tests.support.requirements import needs_postgres

pytest.importorskip("ray", reason="needs ray: pip install 'boneseg[cluster]'")

from boneseg.cluster import tasks
from boneseg.cluster.tasks import ClusterPool, cluster_pool

pytestmark = pytest.mark.slow
SPACE = {"optimiser.learning_rate": Range(low=1e-4, high=1e-2, log=True)}


@pytest.fixture(scope="module")
def pool(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClusterPool]:
    """Of tasks with one core each; their checkpoints are in a folder of its own."""
    kept = tmp_path_factory.mktemp("checkpoints")
    with cluster(2) as address, cluster_pool(address, 1, str(kept)) as pool:
        yield pool


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    folder = tmp_path_factory.mktemp("films")
    simulate(folder, 20, seed=3, size=(64, 64))
    return open_dataset(folder)


@pytest.fixture
def _one_thread() -> Iterator[None]:
    """As a task with one core has."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def kill_a_task(kept: Path, killed: list[int]) -> None:
    """Kill a running task as soon as its checkpoint is kept."""
    until = time.monotonic() + 200
    while not list(kept.rglob("checkpoint.safetensors")):
        assert time.monotonic() < until
        time.sleep(0.02)
    for process in Path("/proc").glob("[0-9]*"):
        words = (process / "cmdline").read_bytes() if process.is_dir() else b""
        if words.startswith(b"ray::_perform") and not killed:
            os.kill(int(process.name), signal.SIGKILL)
            killed.append(int(process.name))


@pytest.mark.usefixtures("_one_thread")
def test_recipes_are_compared_as_on_one_machine_bit_for_bit_though_a_worker_is_killed(
    pool: ClusterPool, films: Dataset, tmp_path: Path
) -> None:
    names = [str(tmp_path / "slow.toml"), str(tmp_path / "quick.toml")]
    for name, epochs in zip(names, (30, 2), strict=True):
        chosen = recipe(f"run.epochs={epochs}", "network.width=4", "run.guard=false")
        Path(name).write_text(chosen.to_toml())
    kept = Path(str(pool.checkpoints))
    killed: list[int] = []
    killer = Thread(target=kill_a_task, args=[kept, killed])
    killer.start()
    there = compare_recipes(films, names, tmp_path / "there", folds=2, pool=pool)
    killer.join()
    assert killed
    here = compare_recipes(films, names, tmp_path / "here", folds=2)
    assert without_times(there) == without_times(here)
    for fold in ("slow/fold-1", "slow/fold-2", "quick/fold-1", "quick/fold-2"):
        weights = Path(fold) / "bundle" / "weights.safetensors"
        files = [(tmp_path / run / weights).read_bytes() for run in ("there", "here")]
        assert files[0] == files[1]
    assert list(kept.iterdir()) == []  # no checkpoint is left behind


def without_times(comparison: Comparison) -> Comparison:
    rows = [replace(row, seconds=0.0, seconds_to_first=None) for row in comparison.rows]
    return replace(comparison, rows=tuple(rows))


def test_a_worker_with_another_version_ends_the_run(
    pool: ClusterPool, films: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tasks, "version", lambda _: "99.0")
    with pytest.raises(ServiceError, match=r"has boneseg \d.*, the command has 99\.0; install"):
        cross_validate(films, recipe(), tmp_path / "run", folds=2, pool=pool)


@needs_postgres
@pytest.mark.usefixtures("_one_thread")
def test_machines_share_the_trials_in_a_database_and_prune_them(
    pool: ClusterPool, films: Dataset, tmp_path: Path
) -> None:
    quick, out = recipe("run.epochs=12", "network.width=4"), tmp_path / "there"
    with database() as server:
        there = tune_recipe(films, quick, out, trials=2, space=SPACE, pool=pool, storage=server.url)
        server.stop()
        with pytest.raises(ServiceError, match="does not answer; start it") as caught:
            tune_recipe(
                films, quick, out, trials=8, space=SPACE, pool=pool, storage=server.url,
                resume=True)  # fmt: skip
        server.start()
        add_better_trials(place_of(out, server.url, resume=True).study(), 5)
        more = tune_recipe(
            films, quick, out, trials=8, space=SPACE, pool=pool, storage=server.url,
            resume=True)  # fmt: skip
    here = tune_recipe(films, quick, tmp_path / "here", trials=2, space=SPACE)
    assert there.trials == here.trials
    assert more.trials[:2] == there.trials
    assert more.trials[-1].state == "pruned"
    assert server.password not in str(caught.value)
    kept = [path.read_text(errors="ignore") for path in out.rglob("*.json")]
    assert not any(server.password in text for text in kept)


def add_better_trials(study: Study, count: int) -> None:
    """Add trials that any other falls behind at once."""
    early = dict.fromkeys(range(21), 1.0)
    for _ in range(count):
        study.add_trial(create_trial(value=0.0, intermediate_values=early))
