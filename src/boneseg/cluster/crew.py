"""The workers of a job on a cluster: started where there are cores, and replaced when they die."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.metadata import version

import ray
from ray.exceptions import RayError, RayTaskError

from boneseg.cluster.connection import (
    cause,
    check_head,
    check_installed,
    check_version,
    devices_of_worker,
    room,
)
from boneseg.cluster.ledger import Digests
from boneseg.cluster.worker import Job, Worker
from boneseg.errors import ServiceError

LOOK = 5.0  # seconds between looks for new cores
IN_HAND = 2  # batches of a worker: one to work on, and the next
PATIENCE = 3  # workers that may die before one has started


@dataclass(eq=False)
class Member:
    """A worker, and its batches that are not finished."""

    actor: ray.actor.ActorHandle[Worker]
    ready: bool = False
    batches: list[Batch] = field(default_factory=list)


@dataclass(eq=False)
class Batch:
    """Films that a worker takes at once. deaths: workers that died over them."""

    sources: tuple[str, ...]
    deaths: int = 0

    @property
    def is_suspect(self) -> bool:
        """Whether it is given to a worker that does nothing else, which shows if it kills it."""
        return self.deaths >= 2


class Crew:
    """The workers of a job. known: contents with a result. most: how many at most, or None."""

    def __init__(
        self, job: Job, model: Mapping[str, bytes], known: Digests, most: int | None = None
    ) -> None:
        self.job, self.most = job, most
        self.engine = ""  # name of the engine
        self._model, self._known = ray.put(dict(model)), ray.put(known)
        self._members: list[Member] = []
        self._starting: dict[ray.ObjectRef[str], tuple[Member, bool]] = {}  # True: the engine
        self._looked = -LOOK
        self._deaths = 0  # in succession, before one has started

    def fill(self) -> None:
        """Start workers on cores that have none. Raises ServiceError if the head node is gone."""
        if time.monotonic() - self._looked < LOOK:
            return
        self._looked = time.monotonic()
        check_head()
        for _ in range(self._wanted() - len(self._members)):
            self._start()

    def _wanted(self) -> int:
        count = room(self.job.cores)
        return count if self.most is None else min(count, self.most)

    def _start(self) -> None:
        kind = ray.remote(Worker).options(
            num_cpus=self.job.cores,
            num_gpus=devices_of_worker(),
            max_concurrency=IN_HAND + 1,
            scheduling_strategy="SPREAD",
        )
        handle = kind.remote()
        assert isinstance(handle, ray.actor.ActorHandle)
        member = Member(handle)
        self._members.append(member)
        self._starting[member.actor.version.remote()] = member, False

    @property
    def refs(self) -> list[ray.ObjectRef[str]]:
        """The answers of workers that start, for `ray.wait`."""
        return list(self._starting)

    @property
    def size(self) -> int:
        """The number of workers that are ready."""
        return sum(member.ready for member in self._members)

    def answered(self, ref: ray.ObjectRef[str]) -> None:
        """Go on with a worker that has answered. Raises BonesegError if it cannot be used."""
        member, is_engine = self._starting.pop(ref)
        try:
            answer = ray.get(ref)
        except RayTaskError as error:
            raise cause(error) from None
        except RayError as error:
            self._lost_at_start(member, str(error))
            return
        if is_engine:
            member.ready, self.engine, self._deaths = True, answer, 0
        else:
            check_version(answer, version("boneseg"))
            engine: ray.ObjectRef[str] = member.actor.start.remote(
                self.job, self._model, self._known
            )
            self._starting[engine] = member, True

    def _lost_at_start(self, member: Member, words: str) -> None:
        check_installed(words)
        self._members.remove(member)
        self._deaths += 1
        if self._deaths >= PATIENCE:
            raise ServiceError("workers die before they start, perhaps for lack of memory")

    def free(self, batch: Batch) -> Member | None:
        """The worker that takes a batch next; None if all have enough in hand."""
        ready = [member for member in self._members if member.ready]
        ready = [one for one in ready if not any(other.is_suspect for other in one.batches)]
        least = min(ready, key=lambda member: len(member.batches), default=None)
        most = 1 if batch.is_suspect else IN_HAND
        return least if least is not None and len(least.batches) < most else None

    def lost(self, member: Member) -> None:
        """Forget a worker that died."""
        if member in self._members:
            self._members.remove(member)
            self._looked = -LOOK

    def dismiss(self) -> None:
        for member in self._members:
            ray.kill(member.actor)
