"""Two machines, one of which is lost in the middle: exactly one result a film.

    python -m benchmarks.scale.machines --films 300 --lose kill      # or cut: the cable is pulled
    python -m benchmarks.scale.machines --films 300 --lose head      # then the job is started again

Each machine has a network namespace with an address, a process namespace (Ray looks for the nodes
of its machine among the processes), a Ray node and one core of its own; a veth pair is the cable
between them. Needs root, and iproute2 and util-linux of Debian.
"""

from __future__ import annotations

import argparse
import os
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from subprocess import PIPE

from benchmarks.scale.common import check, done_films, make_films, segment, show, small_model

HEAD, OTHER = "boneseg-head", "boneseg-other"
ADDRESSES = {HEAD: "10.77.0.1", OTHER: "10.77.0.2"}
ADDRESS = f"{ADDRESSES[HEAD]}:6379"
SETTINGS = {"RAY_AUTH_MODE": "disabled"}  # nobody else is on this network
RAY = str(Path(sys.executable).with_name("ray"))
_first: dict[str, int] = {}  # the first process of each machine


def ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True)


@contextmanager
def network() -> Iterator[None]:
    """The two machines, connected."""
    for machine in ADDRESSES:
        ip("netns", "add", machine)
    try:
        ip("link", "add", "eth0", "netns", HEAD, "type", "veth", "peer", "eth0", "netns", OTHER)
        for machine, address in ADDRESSES.items():
            ip("-n", machine, "addr", "add", f"{address}/24", "dev", "eth0")
            ip("-n", machine, "link", "set", "eth0", "up")
            ip("-n", machine, "link", "set", "lo", "up")
        yield
    finally:
        for machine in ADDRESSES:
            kill(machine)
            ip("netns", "del", machine)


def power_up(machine: str) -> None:
    """Give a machine processes of its own."""
    call = ["ip", "netns", "exec", machine, "unshare", "--pid", "--fork", "--mount-proc"]
    shown = subprocess.Popen([*call, "sh", "-c", "echo; exec sleep infinity"], stdout=PIPE)
    assert shown.stdout is not None
    shown.stdout.readline()
    children = Path(f"/proc/{shown.pid}/task/{shown.pid}/children").read_text()
    _first[machine] = int(children)


def on(machine: str) -> list[str]:
    """The words of a program that runs another one on a machine."""
    return ["nsenter", f"--target={_first[machine]}", "--net", "--mount", "--pid"]


def kill(machine: str) -> None:
    """End all processes of a machine at once, as a loss of power does."""
    found = subprocess.run(
        ["ip", "netns", "pids", machine], capture_output=True, text=True, check=True
    )
    for pid in found.stdout.split():
        os.kill(int(pid), signal.SIGKILL)


def start(machine: str, *words: str, settings: Mapping[str, str] | None = None) -> None:
    """Start the Ray node of a machine."""
    common = [f"--node-ip-address={ADDRESSES[machine]}", "--num-cpus=1", "--disable-usage-stats"]
    call = [RAY, "start", *words, *common, "--object-store-memory=100000000"]
    env = {**os.environ, **SETTINGS, **(settings or {}), "RAY_worker_niceness": "0"}
    subprocess.run([*on(machine), *call], check=True, env=env, stdout=subprocess.DEVNULL)


@contextmanager
def nodes(temporary: Path, settings: Mapping[str, str] | None = None) -> Iterator[None]:
    """Ray on both machines, at `ADDRESS`. settings: of the environment."""
    head = ["--head", "--port=6379", "--include-dashboard=false", f"--temp-dir={temporary}"]
    try:
        for machine in ADDRESSES:
            power_up(machine)
        start(HEAD, *head, settings=settings)
        start(OTHER, f"--address={ADDRESS}", settings=settings)
        yield
    finally:
        for machine in ADDRESSES:
            kill(machine)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--films", type=int, default=300)
    parser.add_argument("--lose", choices=("kill", "cut", "head"), default="kill")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder, out, lost = Path(name), Path(name) / "out", [0.0, 0]
        make_films(folder / "films", asked.films, 96)
        model = small_model(folder)
        command, victim = (OTHER, HEAD) if asked.lose == "head" else (HEAD, OTHER)
        with network():

            def watch(done: int, seconds: float) -> None:
                if not lost[0] and done >= asked.films // 3:
                    lost[:] = [seconds, done]
                    if asked.lose == "cut":
                        ip("-n", OTHER, "link", "set", "eth0", "down")
                    else:
                        kill(victim)

            words = [folder / "films", "--cluster", ADDRESS, "--worker-cores", 1, "--out", out]
            words += ["--format", "mask", "--model", model]
            with nodes(folder / "ray"):
                ran = segment(words, before=on(command), env=SETTINGS, watch=watch, every=0.2,
                              count=lambda: done_films(out))  # fmt: skip
            told, seconds = ran.told, ran.seconds
            assert lost[0], "the job ended before the machine was lost"
            if asked.lose == "head":
                lines = [line for line in told.splitlines() if not line.startswith("segmenting")]
                show(status=ran.status, seconds=round(seconds - lost[0], 1), lines=lines)
                with nodes(folder / "ray-again"):
                    ran = segment(words, before=on(command), env=SETTINGS)
                show(again=ran.told.splitlines()[-1])
            assert ran.status == 0, ran.told
        check(out, asked.films)
        workers = max(map(int, re.findall(r"(\d+) workers?,", told)))
        assert workers == 2 or asked.lose == "head", told
        show(films=asked.films, lose=asked.lose, lost_at_s=round(lost[0], 1), done_then=lost[1],
             seconds=round(seconds, 1), rows=asked.films, repeated=0)  # fmt: skip


if __name__ == "__main__":
    main()
