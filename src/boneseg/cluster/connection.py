"""Connect to a Ray cluster, or start one of this machine's cores; and what machines it has.

with connected("local"):
    ray.get(...)
"""

from __future__ import annotations

import logging
import os
import re
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from traceback import walk_tb

import ray
import ray._private.node
import ray._private.worker
from ray.exceptions import RayTaskError
from ray.job_config import JobConfig

from boneseg.errors import BonesegError, ServiceError, UsageError

WAIT = 5.0  # seconds for an answer at the address
TRIES, PAUSE = 3, 1.0  # to reach the head node, and seconds between them
SLOW = "timed out during startup"  # Ray's words after 30 s, which a busy machine may need
STARTS = 4  # of a local cluster
OBJECTS = 200_000_000  # bytes of a local cluster's object store, which holds a model and few rows


class _Job(JobConfig):
    """A job whose workers import only from where this process does.

    Ray adds the current folder before all others, and that may be somebody else's.
    """

    def _serialize(self) -> str:
        paths = self._py_driver_sys_path
        self._py_driver_sys_path = [path for path in paths if path in sys.path]
        return super()._serialize()  # bytes, whatever Ray's own annotation says


@contextmanager
def connected(address: str, cores: int | None = None) -> Iterator[None]:
    """Connect to the cluster at "HOST:PORT", or start a "local" one that ends with the block.

    cores: of a local cluster (default: all). Raises UsageError for an address that is none, and
    ServiceError where no cluster answers, or one of another version.
    """
    if address != "local":
        _check_address(address)
    try:
        _connect(address, cores)
    except Exception as error:  # Ray has no common class for these
        raise ServiceError(f"--cluster {address}: {_reason(error)}") from None
    try:
        yield
    finally:
        ray.shutdown()


def _connect(address: str, cores: int | None) -> None:
    # Ray would print its own lines about lost workers, to stdout, where a document may be.
    ray._private.worker.print_worker_logs = lambda *_: None
    if address != "local":
        ray.init(address, job_config=_Job(), log_to_driver=False, logging_level=logging.ERROR)
        return
    for tries in range(1, STARTS + 1):
        try:
            with started_or_ended():
                ray.init(
                    "local",
                    job_config=_Job(),
                    num_cpus=cores or os.cpu_count(),
                    object_store_memory=OBJECTS,
                    include_dashboard=False,
                    log_to_driver=False,
                    logging_level=logging.ERROR,
                    _system_config={"worker_niceness": 0},  # 15 by default: starved by other work
                )
            return
        except Exception as error:
            ray.shutdown()
            if SLOW not in str(error) or tries == STARTS:
                raise


@contextmanager
def started_or_ended() -> Iterator[None]:
    """End the processes of a node that fails to start, such as its gcs_server: Ray leaves them."""
    try:
        yield
    except Exception as error:
        for frame, _ in walk_tb(error.__traceback__):
            node = frame.f_locals.get("self")
            if isinstance(node, ray._private.node.Node):
                node.kill_all_processes(check_alive=False, allow_graceful=False)
        raise


def _check_address(address: str) -> None:
    """Ask for an answer first: Ray would try for minutes."""
    found = re.fullmatch(r"(?:ray://)?\[?([\w.:%-]+?)\]?:(\d{1,5})", address)
    if not found or not 0 < int(found[2]) < 65536:
        raise UsageError(f"--cluster {address}: is no address; give local or HOST:PORT")
    try:
        socket.create_connection((found[1], int(found[2])), WAIT).close()
    except OSError as error:
        raise ServiceError(
            f"--cluster {address}: no cluster answers ({error.strerror or 'no answer'}); "
            "start one with ray start --head, or check the address"
        ) from None


def _reason(error: Exception) -> str:
    text = str(error)
    if "ersion mismatch" in text:
        return "has another version of Ray or Python; install the same on all machines"
    if SLOW in text:
        return "Ray did not start in time, on a busy machine perhaps; try again"
    if "authentication" in text.lower() or "token" in text.lower():
        return "refuses this machine's token; copy ~/.ray/auth_token from the head node"
    return f"Ray cannot connect ({type(error).__name__}); check the cluster with ray status"


def check_head(again: str = "the command again") -> None:
    """Raise ServiceError if the head node is gone: Ray would wait for it, and end the process.

    again: what to start after the cluster, for the message.
    """
    address = ray.get_runtime_context().gcs_address
    host, _, port = address.rpartition(":")
    for _ in range(TRIES):
        with suppress(OSError):
            socket.create_connection((host.strip("[]"), int(port)), WAIT).close()
            return
        time.sleep(PAUSE)
    raise ServiceError(
        f"the head node of the cluster at {address} no longer answers; what is done is kept: "
        f"start the cluster, and {again}"
    )


def machines() -> list[dict[str, float]]:
    """The resources of each machine, such as CPU and GPU."""
    nodes = ray.nodes()  # type: ignore[no-untyped-call]
    return [node["Resources"] for node in nodes if node["Alive"]]


def room(cores: int) -> int:
    """How many workers of so many cores there is room for, or one a GPU where there are any.

    At least 1, also where machines have yet to join. Raises ServiceError if no machine is as large.
    """
    there = machines()
    if devices := sum(int(one.get("GPU", 0)) for one in there):
        return devices
    most = max((int(one.get("CPU", 0)) for one in there), default=0)
    if 0 < most < cores:
        raise ServiceError(
            f"no machine of the cluster has {cores} cores, the largest has {most}; "
            f"give --worker-cores {most}"
        )
    return max(1, sum(int(one.get("CPU", 0)) // cores for one in there))


def devices_of_worker() -> int:
    """The number of GPUs of each worker."""
    return 1 if any(one.get("GPU") for one in machines()) else 0


def check_version(worker: str, command: str, where: str = "a worker") -> None:
    """Raise ServiceError if a worker has another version of boneseg than the command."""
    if worker != command:
        raise ServiceError(
            f"{where} has boneseg {worker}, the command has {command}; install the same version"
        )


def check_installed(words: str) -> None:
    """Raise ServiceError if an error of a worker is that it has no boneseg."""
    if "No module named" in words and "boneseg" in words:
        raise ServiceError(
            'a worker cannot import boneseg; pip install "boneseg[cluster]" on every machine'
        )


def cause(error: RayTaskError) -> BaseException:
    """The error that a worker raised: ours as it is; another is a bug."""
    raised = error.cause
    return raised if isinstance(raised, BonesegError) else error
