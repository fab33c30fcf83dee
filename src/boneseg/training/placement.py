"""The places of the processes that train one network together.

    places = places_of(os.environ, devices=2)
    places[0]      # of this process
    places[1:]     # of the processes that it starts

A process has one device: a GPU, or a share of the CPU cores. `torchrun` and SLURM start all
processes themselves, or one per machine, and number them in environment variables.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from urllib.parse import urlsplit

from boneseg._util.cores import available_cores
from boneseg._util.text import counted
from boneseg.errors import UsageError

PORT = 29500  # of process 0, as in torchrun


@dataclass(frozen=True)
class Place:
    """The place of one process.

    rank: its number among all `count`; 0 leads, and alone writes to the run folder. local: its
    number on its machine, and that of its GPU. meeting: where the processes find one another,
    tcp://HOST:PORT, or empty if this process starts all others. serves: whether this process
    listens there. attempt: of torchrun, which starts all processes again after a failure.
    """

    rank: int = 0
    count: int = 1
    local: int = 0
    meeting: str = ""
    serves: bool = False
    attempt: int = 0

    @property
    def leads(self) -> bool:
        return self.rank == 0

    @property
    def host(self) -> str:
        """The machine where the processes meet; this one if no other takes part."""
        return urlsplit(self.meeting).hostname or "127.0.0.1"

    def check_batch(self, batch: int) -> None:
        """Raise UsageError if a step has fewer films than there are processes."""
        if batch < self.count:
            raise UsageError(
                f"{self.count} devices cannot share a step of {counted(batch, 'film')}; use at "
                f"most {batch}, or a larger run.batch"
            )


def places_of(
    environment: Mapping[str, str], devices: int | None = None, nodes: int | None = None
) -> tuple[Place, ...]:
    """The place of this process, followed by those of the processes that it starts.

    Args:
        environment: Environment variables, which torchrun and SLURM set.
        devices: Devices of this machine, 1 if None.
        nodes: Machines, each running this command; None means one, or as torchrun or SLURM say.

    Raises:
        UsageError: If there are fewer devices, or the environment contradicts the numbers.
    """
    for option, number in (("--devices", devices), ("--nodes", nodes)):
        if number is not None and number < 1:
            raise UsageError(f"{option} {number}: give 1 or more")
    if "RANK" in environment and "WORLD_SIZE" in environment:
        return (_under_torchrun(environment, devices, nodes),)
    tasks = _number(environment, "SLURM_STEP_NUM_TASKS", 1)
    if tasks > 1 and devices is None and nodes is None:
        return (_slurm_task(environment, tasks),)
    each = devices or 1
    _check_devices(each)
    node, meeting = _node(environment, nodes or 1, tasks)
    first = Place(node * each, (nodes or 1) * each, 0, meeting, bool(meeting) and node == 0)
    others = (
        replace(first, rank=first.rank + local, local=local, serves=False)
        for local in range(1, each)
    )
    return first, *others


def _under_torchrun(
    environment: Mapping[str, str], devices: int | None, nodes: int | None
) -> Place:
    count, rank = _number(environment, "WORLD_SIZE"), _number(environment, "RANK")
    each = _number(environment, "LOCAL_WORLD_SIZE", count)
    if each < 1:
        raise UsageError(f"LOCAL_WORLD_SIZE={each}: must be from 1")
    for option, asked, found in (("--devices", devices, each), ("--nodes", nodes, count // each)):
        if asked is not None and asked != found:
            raise UsageError(f"{option} {asked}: torchrun has started {found}; omit {option}")
    if not 0 <= rank < count:
        raise UsageError(f"RANK={rank}: must be below WORLD_SIZE={count}")
    if count == 1:
        return Place()
    local = _number(environment, "LOCAL_RANK", 0)
    _check_gpu(local)
    return Place(
        rank,
        count,
        local,
        _meeting(environment, environment.get("MASTER_ADDR", ""), PORT),
        rank == 0 and environment.get("TORCHELASTIC_USE_AGENT_STORE") != "True",
        _number(environment, "TORCHELASTIC_RESTART_COUNT", 0),
    )


def _slurm_task(environment: Mapping[str, str], tasks: int) -> Place:
    """The place of one of the tasks of `srun`, each of which has one device."""
    rank, local = _number(environment, "SLURM_PROCID"), _number(environment, "SLURM_LOCALID")
    _check_gpu(local)
    return Place(rank, tasks, local, _slurm_meeting(environment), rank == 0)


def _node(environment: Mapping[str, str], nodes: int, tasks: int) -> tuple[int, str]:
    """The number of this machine, and where the machines meet."""
    if tasks > 1:
        if tasks != nodes:
            advice = "use --ntasks-per-node=1 with --nodes, or omit --devices and --nodes"
            raise UsageError(f"--nodes {nodes}: srun has started {tasks} tasks; {advice}")
        return _number(environment, "SLURM_PROCID"), _slurm_meeting(environment)
    if nodes == 1:
        return 0, ""
    if "MASTER_ADDR" not in environment or "NODE_RANK" not in environment:
        raise UsageError(
            f"--nodes {nodes}: run the command on each of them with srun or torchrun, or set "
            f"MASTER_ADDR to the first machine, and NODE_RANK from 0 to {nodes - 1}"
        )
    node = _number(environment, "NODE_RANK")
    if node >= nodes:
        raise UsageError(f"NODE_RANK={node}: must be below --nodes {nodes}")
    return node, _meeting(environment, environment["MASTER_ADDR"], PORT)


def _slurm_meeting(environment: Mapping[str, str]) -> str:
    """On the first machine, at a port that depends on the job."""
    names = environment.get("SLURM_STEP_NODELIST", environment.get("SLURM_JOB_NODELIST", ""))
    # nodes such as "gpu[03-07,12]-ib,cpu1"
    found = re.match(r"([^\[,]+)(?:\[(\d+)[^\]]*\]([^,\[]*))?", names)
    host = "".join(part or "" for part in found.groups()) if found else ""
    port = PORT + _number(environment, "SLURM_JOB_ID", 0) % 1000
    return _meeting(environment, environment.get("MASTER_ADDR", host), port)


def _meeting(environment: Mapping[str, str], host: str, port: int) -> str:
    if not host:
        raise UsageError("MASTER_ADDR: is not set; set it to the machine of process 0")
    port = _number(environment, "MASTER_PORT", port)
    if not 0 < port < 65536:
        raise UsageError(f"MASTER_PORT={port}: give a port from 1 to 65535")
    return f"tcp://{host}:{port}"


def _number(environment: Mapping[str, str], name: str, default: int | None = None) -> int:
    """A whole number in the environment. Raises UsageError."""
    text = environment.get(name, "" if default is None else str(default))
    if not re.fullmatch(r"[0-9]{1,9}", text, re.ASCII):
        raise UsageError(f"{name}={text!r}: must be a whole number")
    return int(text)


def _check_devices(wanted: int) -> None:
    """Raise UsageError if this machine has fewer devices."""
    gpus, cores = _gpus(), available_cores()
    there = gpus or cores
    if wanted > there:
        found = counted(gpus, "GPU") if gpus else f"no GPU and {counted(cores, 'CPU core')}"
        raise UsageError(f"--devices {wanted}: this machine has {found}; give at most {there}")


def _check_gpu(local: int) -> None:
    gpus = _gpus()
    if gpus and local >= gpus:
        raise UsageError(
            f"process {local + 1} of this machine: it has {counted(gpus, 'GPU')}; start at most "
            f"{gpus} on each machine"
        )


def _gpus() -> int:
    import torch

    return torch.cuda.device_count() if torch.cuda.is_available() else 0
