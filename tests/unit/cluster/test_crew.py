from __future__ import annotations

import pytest

pytest.importorskip("ray", reason="needs ray: pip install 'boneseg[cluster]'")

import numpy as np
import ray

from boneseg.cluster import crew as module
from boneseg.cluster.crew import Batch, Crew, Member
from boneseg.cluster.worker import Job
from boneseg.errors import ServiceError


def has(monkeypatch: pytest.MonkeyPatch, *machines: dict[str, float]) -> None:
    """Let the cluster have these machines."""
    monkeypatch.setattr(
        ray, "nodes", lambda: [{"Alive": True, "Resources": one} for one in machines]
    )


@pytest.fixture
def crew(monkeypatch: pytest.MonkeyPatch) -> Crew:
    """Workers that are not started."""
    monkeypatch.setattr(ray, "put", lambda _: None)
    has(monkeypatch, {"CPU": 8.0})
    return Crew(Job("out", "m", ("mask",), cores=2), {}, np.zeros((2, 0), np.uint64))


def member(*batches: Batch) -> Member:
    return Member(None, ready=True, batches=[*batches])  # type: ignore[arg-type]


def test_there_are_as_many_workers_as_cores_or_devices_allow(
    crew: Crew, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert crew._wanted() == 4
    crew.most = 3
    assert crew._wanted() == 3
    has(monkeypatch, {"CPU": 8.0, "GPU": 2.0})
    assert crew._wanted() == 2


def test_a_batch_goes_to_the_worker_with_least_in_hand(crew: Crew) -> None:
    batch = Batch(("a",))
    busy, idle = member(batch), member()
    crew._members = [busy, idle]
    assert crew.free(batch) is idle
    crew._members = [member(batch, batch)]
    assert crew.free(batch) is None


def test_a_suspect_batch_is_alone_with_its_worker(crew: Crew) -> None:
    suspect = Batch(("a",), deaths=2)
    crew._members = [member(Batch(("b",)))]
    assert crew.free(suspect) is None
    crew._members = [member(suspect)]
    assert crew.free(Batch(("b",))) is None


def test_a_worker_without_boneseg_or_of_another_version_ends_the_job(
    crew: Crew, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ServiceError, match="cannot import boneseg"):
        crew._lost_at_start(member(), "ModuleNotFoundError: No module named 'boneseg'")
    monkeypatch.setattr(ray, "get", lambda _: "0.0.9")
    crew._starting = {"ref": (member(), False)}  # type: ignore[dict-item]
    with pytest.raises(ServiceError, match=r"has boneseg 0\.0\.9"):
        crew.answered("ref")  # type: ignore[arg-type]


def test_workers_that_die_before_they_start_end_the_job_in_the_end(crew: Crew) -> None:
    crew._members = [member() for _ in range(module.PATIENCE)]
    for one in crew._members[1:]:
        crew._lost_at_start(one, "died")
    with pytest.raises(ServiceError, match="die before they start"):
        crew._lost_at_start(crew._members[0], "died")
