"""Half an hour of good, bad, slow and aborted clients: is anything left behind?

    python -m benchmarks.serving.soak --minutes 30

Runs `boneseg serve` and `boneseg node` at once on folders of its own, with the clients of
`hostile_load.py` and `node_load.py`, over loopback. Measures both every half minute: memory (RSS)
of the service and of its child processes, descriptors, threads. After the clients have gone it
waits until the services are idle, and counts what is left against what was there before they came:
descriptors, threads, child processes, temporary files. Prints a table for each service, and ends
with status 1 where memory grew by more than FLAT, anything is left, or a good client failed.
"""

from __future__ import annotations

import argparse
import io
import json
import random
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path

import httpx
from PIL import Image

from benchmarks.serving import hostile_load, node_load
from benchmarks.serving.hostile_load import MIB, Attacker, Honest, Tally, serving
from benchmarks.serving.node_load import BadSender, GoodSender, NodeTally, archive, node, spooled
from boneseg.inference.backends.base import KEPT
from boneseg.inference.backends.openvino import OFTEN

FLAT = 1.05  # of the median memory of the last sixth of the time to that of the second sixth
EVERY = 30.0  # seconds between measurements
IDLE = 90.0  # seconds in which all is given back: connections time out after 30
WARM = 75.0  # seconds of clients before anything is counted
SHAPES = 2 * KEPT  # of films; a worker keeps what it has prepared for the last
PAUSE = 0.5  # seconds between the attacks of a client, so that the clients leave some of the core


@dataclass(frozen=True)
class State:
    """A service at one moment. files: temporary ones, by name."""

    seconds: float
    own_mib: float
    children_mib: float
    descriptors: int
    threads: int
    children: int
    files: list[str] = field(default_factory=list)


@dataclass
class Service:
    """A running service, what was measured, and which files of it are temporary."""

    name: str
    pid: int
    files: Callable[[], list[str]]
    before: State | None = None
    states: list[State] = field(default_factory=list)

    def measure(self, seconds: float) -> State:
        """Its state now. Raises OSError where it has ended."""
        process = Path(f"/proc/{self.pid}")
        children = _descendants(self.pid)
        return State(
            seconds,
            _resident(self.pid),
            sum(map(_resident, children)),
            len(list((process / "fd").iterdir())),
            len(list((process / "task").iterdir())),
            len(children),
            self.files(),
        )

    def growth(self) -> float:
        """The median memory of the last sixth of the time, to that of the second sixth."""
        whole = [state.own_mib + state.children_mib for state in self.states]
        part = max(1, len(whole) // 6)
        return statistics.median(whole[-part:]) / statistics.median(whole[part : 2 * part] or whole)

    def left(self, after: State) -> list[str]:
        """What it has more of than before the clients came."""
        assert self.before is not None
        kinds = ("descriptors", "threads", "children")
        more = [
            f"{getattr(after, kind) - getattr(self.before, kind)} {kind}"
            for kind in kinds
            if getattr(after, kind) > getattr(self.before, kind)
        ]
        return [*more, *sorted(set(after.files) - set(self.before.files))]

    def table(self) -> str:
        rows = ["| minute | RSS, MiB | of its children | descriptors | threads | temporary files |"]
        rows += ["|---:|---:|---:|---:|---:|---:|"]
        step = max(1, len(self.states) // 10)
        for one in self.states[::step]:
            rows.append(
                f"| {one.seconds / 60:.1f} | {one.own_mib:.0f} | {one.children_mib:.0f} | "
                f"{one.descriptors} | {one.threads} | {len(one.files)} |"
            )
        return "\n".join(rows)


def _descendants(pid: int) -> list[int]:
    found, waiting = [], [pid]
    while waiting:
        for task in Path(f"/proc/{waiting.pop()}/task").glob("*/children"):
            try:
                more = [int(word) for word in task.read_text().split()]
            except OSError:
                continue
            found += more
            waiting += more
    return found


def _resident(pid: int) -> float:
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * 4096 / MIB
    except (OSError, IndexError):
        return 0.0


class GoodClient(Honest):
    """As Honest, and a film is segmented by the API every time; slower, to share a core."""

    def _work(self, client: httpx.Client) -> None:
        super()._work(client)
        film = (hostile_load.sample_films() / "hand.png").read_bytes()
        answer = client.post("/api/segment", files={"file": ("hand.png", film)}, timeout=120)
        if answer.status_code != 503:  # the queue is full of the films of others
            answer.raise_for_status()
        self.stop.wait(3)


class Paced(Attacker):
    """An attacker that leaves some of the core to others."""

    def __init__(self, port: int, films: list[str], tally: Tally, seed: int) -> None:
        super().__init__(port, films, tally, seed)
        self.attacks = [self._then_wait(attack) for attack in self.attacks]

    def _then_wait(self, attack: Callable[[], None]) -> Callable[[], None]:
        def paced() -> None:
            attack()
            self.stop.wait(self.random.uniform(0, 2 * PAUSE))

        return paced


def soak(minutes: float, clients: int, report: Path | None) -> list[str]:
    """Run both services; returns what was wrong."""
    tally, sent, wrong = Tally(), NodeTally(), list[str]()
    with ExitStack() as stack:
        place = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        served, noded = place / "served", place / "noded"
        environments = [node_load.environment(place / name) for name in ("tmp-s", "tmp-n")]
        address, server = stack.enter_context(serving(served, environments[0]))
        to = stack.enter_context(archive(sent, random.Random(7)))
        port, process = stack.enter_context(node(noded, to, environments[1]))
        services = [
            Service("serve", server.pid, lambda: _temporary(served, place / "tmp-s")),
            Service("node", process.pid, lambda: spooled(noded) + _under(place / "tmp-n")),
        ]
        http = int(address.rstrip("/").rpartition(":")[2])
        good = [GoodSender(port, sent, seed) for seed in range(2)]
        films = _warm(address, good)
        honest = GoodClient(address, films[-1], tally)
        bad = [Paced(http, films[:1], tally, number) for number in range(clients)]
        every = [*good, honest, *bad, *(BadSender(port, sent, number) for number in range(clients))]
        _run(every, [], WARM, None)  # pools of threads and of memory are filled when first needed
        _drained(sent, noded, IDLE)
        for one in services:
            one.before = one.measure(0)
        _run(every, services, 60 * minutes, report)
        lost = _drained(sent, noded, 300)
        wrong += [f"serve: {one}" for one in tally.failed] + [f"node: {one}" for one in sent.failed]
        wrong += [f"{len(lost)} accepted films without a segmentation"] if lost else []
        wrong += _left(services, f"{address}api/films/{films[0]}/pixels")
        for one in services:
            if one.growth() > FLAT:
                wrong.append(f"{one.name}: memory grew to {100 * one.growth():.1f} %")
            print(f"\n{one.name}, memory {100 * one.growth():.1f} %\n\n{one.table()}", flush=True)
        for name, folder in (("serve", served), ("node", noded)):
            lines = (folder / "log.txt").read_text().splitlines()
            wrong += [f"{name}: log: {line[:300]}" for line in lines if "Traceback" in line]
    _print_counts(tally, sent)
    return wrong


def _warm(address: str, good: Sequence[GoodSender]) -> list[str]:
    """Segment a few films, so that both services have all that they keep."""
    with httpx.Client(base_url=address, timeout=120) as client:
        films = [row["id"] for row in client.get("/api/films").json()["films"]]
        for film in films:
            client.get(f"/api/films/{film}").raise_for_status()
        for number, film in enumerate(_shapes(hostile_load.sample_films() / "hand.png")):
            for _ in range(OFTEN if number < KEPT else 1):  # so that all networks are loaded
                client.post("/api/segment", files={"file": ("hand.png", film)}).raise_for_status()
    for pixels in good[0].films:
        for number in range(OFTEN):  # a network that is compiled for a size has threads of its own
            syntax = node_load.SYNTAXES[number % len(node_load.SYNTAXES)]
            good[0]._send(node_load.good_film(pixels, syntax))
    time.sleep(5)
    return films


def _shapes(path: Path) -> Iterator[bytes]:
    """A film in SHAPES shapes, large enough for the pass along the outline."""
    film = Image.open(path)
    for number in range(SHAPES):
        ratio = 5 ** (2 * number / (SHAPES - 1) - 1)  # from 1 : 5 to 5 : 1
        content = io.BytesIO()
        film.resize((round(600 * ratio**0.5), round(600 / ratio**0.5))).save(content, "PNG")
        yield content.getvalue()


Client = GoodSender | BadSender | Honest | Attacker


def _run(
    clients: Sequence[Client], services: Sequence[Service], seconds: float, report: Path | None
) -> None:
    for client in clients:
        client.stop.clear()
    threads = [threading.Thread(target=one.run, daemon=True) for one in clients]
    started = time.monotonic()
    for thread in threads:
        thread.start()
    while (passed := time.monotonic() - started) < seconds:
        time.sleep(min(EVERY, seconds - passed))
        passed = time.monotonic() - started
        for one in services:
            one.states.append(one.measure(passed))
            if report is not None:
                with report.open("a") as file:
                    file.write(json.dumps({"service": one.name, **asdict(one.states[-1])}) + "\n")
    for client in clients:
        client.stop.set()
    for thread in threads:
        thread.join(150)


def _drained(sent: NodeTally, folder: Path, seconds: float) -> set[str]:
    """Wait for all segmentations; returns the accepted films that have none."""
    end = time.monotonic() + seconds
    while time.monotonic() < end and (sent.accepted - sent.answered or spooled(folder)):
        time.sleep(1)
    return sent.accepted - sent.answered


def _left(services: Sequence[Service], film: str) -> list[str]:
    """What is left of each service after at most IDLE seconds with a single client.

    Threads of AnyIO that have been idle for 10 s end when another one is used: see `to_thread`.
    """
    end = time.monotonic() + IDLE
    while True:
        httpx.get(film, timeout=60).raise_for_status()
        found = [
            f"{one.name}: left {what}" for one in services for what in one.left(one.measure(0))
        ]
        if not found or time.monotonic() > end:
            return found
        time.sleep(2)


def _under(folder: Path) -> list[str]:
    return [str(path.relative_to(folder)) for path in folder.rglob("*") if not path.is_dir()]


def _temporary(served: Path, folder: Path) -> list[str]:
    """Temporary files of the light box: of writing, of uploads, and in its TMPDIR."""
    spool = [path for path in served.rglob("*") if path.name.endswith((".new", ".old"))]
    spool += (served / ".boneseg" / "spool").glob("*")
    return [path.name for path in spool] + _under(folder)


def _print_counts(tally: Tally, sent: NodeTally) -> None:
    answers = ", ".join(f"{count} x {status}" for status, count in sorted(tally.statuses.items()))
    print(f"\nserve: {len(tally.honest)} rounds of the good client; answers to others: {answers}")
    kinds = ", ".join(f"{count} {name}" for name, count in sent.attacks.most_common())
    print(
        f"node: {len(sent.accepted)} good films accepted, {len(sent.accepted & sent.answered)} of "
        f"them segmented, {sent.busy} times told to come again; {kinds}"
    )


def main() -> None:
    words = argparse.ArgumentParser()
    words.add_argument("--minutes", type=float, default=30)
    words.add_argument("--clients", type=int, default=5, help="bad ones of each service")
    words.add_argument("--report", type=Path, help="file to which every measurement is added")
    asked = words.parse_args()
    wrong = soak(asked.minutes, asked.clients, asked.report)
    print(f"wrong: {len(wrong)}", *wrong[:20], sep="\n  ")
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
