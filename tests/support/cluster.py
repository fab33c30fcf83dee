"""A Ray cluster of two cores, and archives of simple films."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from PIL import Image

from tests.support.datasets import limb

OBJECTS = 100_000_000  # bytes of the object store, the least that Ray allows is about 80 MB


@contextmanager
def cluster(cores: int = 2) -> Iterator[str]:
    """The address of a cluster that ends with the block."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    from ray.cluster_utils import Cluster

    from boneseg.cluster.connection import started_or_ended

    settings = {
        "num_cpus": cores,
        "object_store_memory": OBJECTS,
        "include_dashboard": False,
        "_system_config": {"worker_niceness": 0},  # 15 by default: starved beside other tests
    }
    for tries in range(4):
        try:
            with started_or_ended():
                running = Cluster(initialize_head=True, head_node_args=settings)
            break
        except Exception as error:  # after 30 s, which a busy machine may need
            if "timed out during startup" not in str(error) or tries == 3:
                raise
    try:
        yield running.address
    finally:
        running.shutdown()


def archive(folder: Path, count: int, first: int = 0) -> list[Path]:
    """A folder of films, no two of which are the same."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"limb_{number:04d}.png" for number in range(first, first + count)]
    for number, path in enumerate(paths, first):
        Image.fromarray(limb(number)[0]).save(path)
    return paths


def rows(out: Path) -> list[dict[str, object]]:
    """All rows of the results in a folder."""
    import pyarrow.parquet as pq

    shards = sorted((out / "results").glob("model=*/*.parquet"))
    return [row for shard in shards for row in pq.read_table(shard).to_pylist()]


def masks(out: Path) -> dict[str, np.ndarray]:
    """The mask of each film, by the name of the film."""
    found = {}
    for row in rows(out):
        place = dict(row["outputs"]).get("mask")  # type: ignore[call-overload]
        if place:
            found[Path(str(row["source"])).name] = np.asarray(Image.open(out / place))
    return found
