"""Places of processes: from the command line, torchrun or SLURM; what contradicts is refused."""

from __future__ import annotations

import pytest

from boneseg.errors import UsageError
from boneseg.training import placement
from boneseg.training.placement import Place, places_of

TORCHRUN = {
    "RANK": "3",
    "WORLD_SIZE": "4",
    "LOCAL_RANK": "1",
    "LOCAL_WORLD_SIZE": "2",
    "MASTER_ADDR": "10.0.0.1",
    "MASTER_PORT": "29400",
}
SLURM = {
    "SLURM_STEP_NUM_TASKS": "4",
    "SLURM_PROCID": "2",
    "SLURM_LOCALID": "0",
    "SLURM_STEP_NODELIST": "gpu[03-04]-ib,cpu1",
    "SLURM_JOB_ID": "120017",
}


@pytest.fixture(autouse=True)
def two_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(placement, "available_cores", lambda: 2)
    monkeypatch.setattr(placement, "_gpus", lambda: 0)


def test_one_process_is_alone() -> None:
    assert places_of({}) == (Place(),)
    assert places_of({"WORLD_SIZE": "1", "RANK": "0"}) == (Place(),)


def test_devices_of_one_machine_need_no_address() -> None:
    assert places_of({}, devices=2) == (Place(0, 2), Place(1, 2, local=1))


def test_torchrun_numbers_its_processes() -> None:
    assert places_of(TORCHRUN) == (Place(3, 4, 1, "tcp://10.0.0.1:29400"),)
    assert places_of(TORCHRUN, devices=2, nodes=2) == places_of(TORCHRUN)
    first = {**TORCHRUN, "RANK": "0", "LOCAL_RANK": "0"}
    assert places_of(first)[0].serves
    agent = {**first, "TORCHELASTIC_USE_AGENT_STORE": "True", "TORCHELASTIC_RESTART_COUNT": "2"}
    assert places_of(agent) == (Place(0, 4, 0, "tcp://10.0.0.1:29400", False, 2),)


def test_each_task_of_srun_has_a_device() -> None:
    assert places_of(SLURM) == (Place(2, 4, 0, "tcp://gpu03-ib:29517"),)
    first = {**SLURM, "SLURM_PROCID": "0", "SLURM_STEP_NODELIST": "cpu1,cpu2"}
    assert places_of(first) == (Place(0, 4, 0, "tcp://cpu1:29517", True),)


def test_a_task_of_srun_for_each_machine_starts_the_others() -> None:
    step = {**SLURM, "SLURM_STEP_NUM_TASKS": "3"}
    where = "tcp://gpu03-ib:29517"
    assert places_of(step, devices=2, nodes=3) == (
        Place(4, 6, 0, where),
        Place(5, 6, 1, where),
    )


def test_a_batch_script_of_slurm_is_not_a_step() -> None:
    """There SLURM_NTASKS is set, though only one process runs."""
    assert places_of({"SLURM_NTASKS": "4", "SLURM_PROCID": "0"}) == (Place(),)


def test_machines_without_a_launcher_are_numbered_by_hand() -> None:
    by_hand = {"MASTER_ADDR": "node1", "NODE_RANK": "1"}
    assert places_of(by_hand, nodes=2) == (Place(1, 2, 0, "tcp://node1:29500"),)
    first = {**by_hand, "NODE_RANK": "0", "MASTER_PORT": "400"}
    assert places_of(first, nodes=2) == (Place(0, 2, 0, "tcp://node1:400", True),)


@pytest.mark.parametrize(
    ("environment", "devices", "nodes", "reason"),
    [
        ({}, 3, None, "--devices 3: this machine has no GPU and 2 CPU cores; give at most 2"),
        ({}, 0, None, "--devices 0: give 1 or more"),
        ({}, None, 0, "--nodes 0: give 1 or more"),
        ({}, 1, 2, "--nodes 2: run the command on each of them with srun or torchrun"),
        ({"MASTER_ADDR": "a", "NODE_RANK": "2"}, 1, 2, "NODE_RANK=2: must be below --nodes 2"),
        ({"MASTER_ADDR": "a", "NODE_RANK": "x"}, 1, 2, "NODE_RANK='x': must be a whole number"),
        (TORCHRUN, 3, None, "--devices 3: torchrun has started 2; omit --devices"),
        (TORCHRUN, None, 3, "--nodes 3: torchrun has started 2; omit --nodes"),
        ({**TORCHRUN, "RANK": "4"}, None, None, "RANK=4: must be below WORLD_SIZE=4"),
        ({**TORCHRUN, "WORLD_SIZE": "four"}, None, None, "WORLD_SIZE='four': must be a whole"),
        ({**TORCHRUN, "LOCAL_WORLD_SIZE": "0"}, None, None, "LOCAL_WORLD_SIZE=0: must be from 1"),
        ({**TORCHRUN, "MASTER_ADDR": ""}, None, None, "MASTER_ADDR: is not set"),
        ({**TORCHRUN, "MASTER_PORT": "70000"}, None, None, "MASTER_PORT=70000: give a port"),
        (SLURM, 2, None, "srun has started 4 tasks; use --ntasks-per-node=1"),
        ({**SLURM, "SLURM_STEP_NODELIST": ""}, None, None, "MASTER_ADDR: is not set"),
    ],
)
def test_what_does_not_fit_is_one_line(
    environment: dict[str, str], devices: int | None, nodes: int | None, reason: str
) -> None:
    with pytest.raises(UsageError) as caught:
        places_of(environment, devices, nodes)
    assert reason in str(caught.value)
    assert "\n" not in str(caught.value)


def test_gpus_count_where_there_are_any(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(placement, "_gpus", lambda: 4)
    assert len(places_of({}, devices=4)) == 4
    with pytest.raises(UsageError, match="--devices 5: this machine has 4 GPUs; give at most 4"):
        places_of({}, devices=5)
    with pytest.raises(UsageError, match="process 7 of this machine: it has 4 GPUs"):
        places_of({**TORCHRUN, "LOCAL_RANK": "6"})
