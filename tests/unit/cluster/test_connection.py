from __future__ import annotations

import os
import socket
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

pytest.importorskip("ray", reason="needs ray: pip install 'boneseg[cluster]'")

import ray
from ray.exceptions import RayTaskError

from boneseg.cluster import connection
from boneseg.cluster.connection import (
    _Job,
    _reason,
    cause,
    check_head,
    connected,
    devices_of_worker,
    room,
)
from boneseg.errors import OutputError, ServiceError, UsageError


@pytest.mark.parametrize("address", ["", "here", "host:", "host:99999", "http://host:1"])
def test_an_address_that_is_none_is_a_wrong_call(address: str) -> None:
    with pytest.raises(UsageError, match="give local or HOST:PORT"), connected(address):
        pass


def test_where_no_cluster_answers_the_error_is_one_line_at_once() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    with pytest.raises(ServiceError, match="no cluster answers"), connected(address):
        pass


def test_nothing_is_left_of_a_cluster_that_does_not_start(monkeypatch: pytest.MonkeyPatch) -> None:
    found: list[str] = []

    def fail(_: object) -> None:
        found.extend(children())
        raise OSError("of Ray")

    monkeypatch.setattr("ray._private.node.Node.start_ray_processes", fail)
    with pytest.raises(ServiceError, match="Ray cannot connect"), connected("local", 1):
        pass
    assert any("gcs_server" in one for one in found)
    assert not any("gcs_server" in one for one in children())


def test_workers_of_a_cluster_import_nothing_from_the_current_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    sent = _Job(_py_driver_sys_path=[str(tmp_path), sys.path[-1]])._serialize()
    assert str(tmp_path).encode() not in sent and sys.path[-1].encode() in sent


def children() -> list[str]:
    """The programs that this process has started and that run."""
    numbers = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
    return [Path(f"/proc/{number}/cmdline").read_text() for number in numbers]


def test_a_head_node_that_is_gone_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "PAUSE", 0.0)
    with socket.create_server(("127.0.0.1", 0)) as head:
        context = SimpleNamespace(gcs_address=f"127.0.0.1:{head.getsockname()[1]}")
        monkeypatch.setattr(ray, "get_runtime_context", lambda: context)
        check_head()
    with pytest.raises(ServiceError, match=r"no longer answers; .* start the cluster, and go on$"):
        check_head("go on")


def test_another_version_and_a_wrong_token_have_words_of_their_own() -> None:
    assert "another version" in _reason(RuntimeError("Version mismatch: Ray 2.1"))
    assert "busy" in _reason(Exception("The current node timed out during startup."))
    assert "token" in _reason(RuntimeError("Authentication failed"))
    assert "secret" not in _reason(RuntimeError("secret"))


def has(monkeypatch: pytest.MonkeyPatch, *machines: dict[str, float]) -> None:
    """Let the cluster have these machines, and one that is lost."""
    nodes = [{"Alive": True, "Resources": one} for one in machines]
    nodes.append({"Alive": False, "Resources": {"CPU": 99.0}})
    monkeypatch.setattr(ray, "nodes", lambda: nodes)


def test_a_worker_lies_on_one_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    has(monkeypatch, {"CPU": 3.0}, {"CPU": 5.0}, {})
    assert (room(1), room(2), room(4), devices_of_worker()) == (8, 3, 1, 0)
    with pytest.raises(ServiceError, match="no machine of the cluster has 6 cores, the largest"):
        room(6)
    has(monkeypatch, {"CPU": 8.0, "GPU": 2.0}, {"CPU": 4.0})
    assert (room(2), devices_of_worker()) == (2, 1)


def test_there_is_room_on_machines_that_have_yet_to_join(monkeypatch: pytest.MonkeyPatch) -> None:
    has(monkeypatch, {"memory": 1e9})
    assert room(4) == 1


def test_an_error_of_ours_keeps_its_words_and_another_stays_a_bug() -> None:
    ours, other = OutputError("out: full"), ValueError("bug")
    assert cause(RayTaskError("f", "", ours)) is ours
    wrapped = RayTaskError("f", "", other)
    assert cause(wrapped) is wrapped


def test_rays_own_lines_about_lost_workers_can_be_dropped() -> None:
    """The function that `connected` replaces still is the one that prints them."""
    from ray._private import worker

    assert "print_worker_logs" in worker.print_to_stdstream.__code__.co_names
