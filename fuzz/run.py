"""Fuzz the readers: `python fuzz/run.py --seconds 60 dicom-jpeg-2000 mask-coco`.

Each target runs in a process of its own. An input that raises anything but a BonesegError, that
takes more than SECONDS, that leaves the process above MEMORY or ends it, is kept under
fuzz/findings/TARGET with a text that says why; the run goes on. Inputs that reach new code, and the
figures of all runs, are kept under fuzz/corpus, so that a later run continues. See README.md.
"""

from __future__ import annotations

import argparse
import gc
import hashlib
import importlib.util
import json
import logging
import os
import random
import resource
import signal
import subprocess
import sys
import tempfile
import time
import traceback
import warnings
from collections import defaultdict
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from mutations import mutate

HERE = Path(__file__).parent
FINDINGS, CORPUS = HERE / "findings", HERE / "corpus"
SECONDS = 10  # for an input
MEMORY = 2**30  # bytes that the process, or its decoder, may have resident
START = 180.0  # seconds until a process begins to read
HUNG = 30.0  # seconds without news after which a process in native code is killed
REPORTED = 0.5  # seconds between reports of a process
LARGEST = 1_000_000  # bytes of an input
UNLIMITED = 2**31 - 1  # inputs of a target
SHARED_MEMORY = Path("/dev/shm")  # files are written and read thousands of times a second
FIGURES = ("inputs", "read", "refused", "findings")
WEIGHED = 16  # inputs after which memory is measured, which takes longer than reading some of them
CHECKED = 8  # of so many inputs, all but one get their check sums and digests repaired


class SlowError(BaseException):
    """An input took too long; no reader catches this."""


class Subject:
    """One target in this process, and what it has found."""

    def __init__(self, name: str, folder: Path, most: int = UNLIMITED) -> None:
        from targets import targets

        from boneseg.errors import BonesegError

        self.name, self.folder, self.expected = name, folder, BonesegError
        self.most = most  # inputs: libFuzzer ends the process after the last one
        self.target = targets()[name]
        made = folder / "seeds"
        made.mkdir(exist_ok=True)
        self.seeds = self.target.seeds(made)
        self.path = folder / "input" / self.target.name
        self.path.parent.mkdir(exist_ok=True)
        self.figures = dict.fromkeys(FIGURES, 0)
        self.seen: set[str] = set()
        self.recent: list[bytes] = []  # inputs since memory was last measured
        with suppress(Exception):  # imports what the reader needs, before anything is timed
            self.path.write_bytes(self.seeds[0])
            self.target.read(self.path)
        gc.freeze()  # else the collector looks through all imported modules again and again
        self.report()

    def check(self, data: bytes, timed: bool = True) -> None:
        """Read one input, and keep it if it is a finding."""
        if self.target.repair is not None and hashlib.md5(data).digest()[0] % CHECKED:
            data = self.target.repair(data)
        self.path.write_bytes(data)
        try:
            outcome = self._read(data, timed)
        except SlowError:  # perhaps because of other work of this machine
            try:
                outcome = self._read(data, timed)
            except SlowError:
                outcome = "read"
                self.keep(data, "slow", "".join(traceback.format_stack()))
        self.figures["inputs"] += 1
        self.figures[outcome] += 1
        self.recent.append(data)
        if len(self.recent) == WEIGHED:
            self.weigh()
        if self.figures["inputs"] >= self.most or time.monotonic() > self.reported + REPORTED:
            self.report()

    def weigh(self) -> None:
        """End the process if it has become too large, and keep the inputs that may be why."""
        if resident() > MEMORY:
            said = f"{resident() / 2**20:.0f} MB resident, after one of the inputs of this kind"
            for data in self.recent:
                keep(self.name, data, self.target.name, "memory", said)
            self.figures["findings"] += 1
            self.report()
            os._exit(3)
        self.recent.clear()

    def _read(self, data: bytes, timed: bool) -> str:
        if timed:
            signal.alarm(SECONDS)
        try:
            self.target.read(self.path)
        except self.expected as error:
            if len(str(error).splitlines()) != 1:
                self.keep(data, "lines", str(error))
            return "refused"
        except Exception as error:
            frames = traceback.extract_tb(error.__traceback__)
            own = [frame for frame in frames if "boneseg" in frame.filename] or frames
            place = f"{type(error).__name__} {Path(own[-1].filename).name}:{own[-1].lineno}"
            self.keep(data, place, traceback.format_exc())
        finally:
            signal.alarm(0)
        return "read"

    def keep(self, data: bytes, kind: str, text: str) -> None:
        if kind in self.seen:
            return
        self.seen.add(kind)
        self.figures["findings"] += 1
        keep(self.name, data, self.target.name, kind, text)

    def report(self) -> None:
        new = self.folder / "figures.new"
        new.write_text(json.dumps(self.figures))
        new.replace(self.folder / "figures.json")
        self.reported = time.monotonic()


def resident() -> int:
    return max(
        resource.getrusage(who).ru_maxrss
        for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    ) * (1 if sys.platform == "darwin" else 1024)


def keep(target: str, data: bytes, name: str, kind: str, text: str) -> None:
    """Write a finding; one input of each kind is enough."""
    folder = FINDINGS / target
    folder.mkdir(parents=True, exist_ok=True)
    word = "".join(letter if letter.isalnum() else "-" for letter in kind)
    stem = f"{word}-{hashlib.sha256(data).hexdigest()[:8]}"
    (folder / f"{stem}-{name}").write_bytes(data)
    (folder / f"{stem}.txt").write_text(text, encoding="utf-8")


# -- in the process of a target -------------------------------------------------------------------


def work(
    name: str, folder: Path, corpus: Path, seconds: float, most: int, seed: int, engine: str
) -> None:
    """Read inputs until the time is up, or so many are read."""
    logging.disable(logging.CRITICAL)
    warnings.simplefilter("ignore")
    sys.path[:0] = [str(HERE), str(HERE.parent / "src")]
    signal.signal(signal.SIGALRM, _late)
    if engine == "atheris":
        _guided(name, folder, corpus, seconds, most, seed)
        return
    subject = Subject(name, folder)
    known = [path.read_bytes() for path in corpus.iterdir()]
    rng, end = random.Random(seed), time.monotonic() + seconds
    for content in subject.seeds:
        subject.check(content)
    if subject.figures["read"] < len(subject.seeds):
        subject.keep(b"", "seed", "a seed is refused, so little can be found")
    while time.monotonic() < end and subject.figures["inputs"] < most:
        subject.check(mutate(rng, subject.seeds + known)[:LARGEST])
    subject.weigh()
    subject.report()


def _guided(name: str, folder: Path, corpus: Path, seconds: float, most: int, seed: int) -> None:
    """With atheris: its own mutations and ours in equal parts."""
    import atheris

    with atheris.instrument_imports(include=["boneseg"]):
        subject = Subject(name, folder, most)
    for number, content in enumerate(subject.seeds):
        (corpus / f"seed-{number}").write_bytes(content)

    def mutated(data: bytes, most: int, number: int) -> bytes:
        rng = random.Random(number)
        if rng.random() < 0.5:
            return bytes(atheris.Mutate(data, most))
        return mutate(rng, [data, rng.choice(subject.seeds)], first=0.8)[:most]

    flags = ["-timeout=60", "-rss_limit_mb=0", f"-max_len={LARGEST}", "-verbosity=0"]
    flags += [
        f"-max_total_time={max(1, int(seconds))}",
        f"-runs={most}",
        f"-seed={seed + 1}",
        f"-artifact_prefix={folder}/",
    ]
    atheris.Setup([sys.argv[0], *flags, str(corpus)], subject.check, custom_mutator=mutated)
    atheris.Fuzz()


def _late(*_: Any) -> None:
    raise SlowError


# -- over the targets -----------------------------------------------------------------------------


def fuzz(
    name: str,
    seconds: float,
    most: int,
    seed: int,
    engine: str,
    corpus: Path,
    total: dict[str, float],
) -> None:
    """Run a target for so long, or so many inputs, in as many processes as it takes.

    Adds the figures to `total`, also if it is interrupted.
    """
    corpus.mkdir(parents=True, exist_ok=True)
    left, due = seconds, most
    place = SHARED_MEMORY if SHARED_MEMORY.is_dir() else None
    while left > min(1, seconds / 2) and due > 0:
        before = used()
        with tempfile.TemporaryDirectory(dir=place) as temporary:
            folder = Path(temporary)
            words = [name, str(folder), str(corpus), str(left), str(due), str(seed), engine]
            call = [sys.executable, __file__, "--work", *words]
            with (folder / "stderr").open("wb") as stderr:  # no pipe: libtiff writes a lot
                child = subprocess.Popen(call, stdout=subprocess.DEVNULL, stderr=stderr)
                try:
                    began, ended = _wait(child, folder, left)
                finally:
                    child.kill()
                    child.wait()
                    done = _figures(folder)
                    for word, count in done.items():
                        total[word] += count
                    total["seconds"] += used() - before
            if child.returncode not in (0, 3) and ended != "time":
                said = (folder / "stderr").read_bytes()[-4000:].decode(errors="replace")
                for current in folder.glob("input/*"):
                    if current.is_file():
                        kind = ended or f"exit {child.returncode}"
                        keep(name, current.read_bytes(), current.name, kind, said)
                total["findings"] += 1
                if began is None:
                    print(said, file=sys.stderr)
                    return
        due -= int(done.get("inputs", 0))
        left -= time.monotonic() - (began or 0)
        seed += 1


def _figures(folder: Path) -> dict[str, float]:
    """What a process has reported; nothing where it did not begin."""
    with suppress(OSError):
        reported: dict[str, float] = json.loads((folder / "figures.json").read_text())
        return reported
    return {}


def used() -> float:
    """Seconds of a processor that finished child processes took."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _wait(child: subprocess.Popen[bytes], folder: Path, seconds: float) -> tuple[float | None, str]:
    """Wait for a process; kill it if it is silent for too long. Returns when it began to read."""
    began, figures = None, folder / "figures.json"
    end = time.monotonic() + START
    while child.poll() is None:
        time.sleep(0.1)
        if began is None and figures.exists():
            began = time.monotonic()
            end = began + seconds + HUNG
        hung = began is not None and time.time() - figures.stat().st_mtime > HUNG
        if hung or time.monotonic() > end:
            child.kill()
            child.wait()
            return began, "hung" if hung or began is None else "time"
    return began, ""


class Tally:
    """The figures of all runs of a target, kept beside its corpus."""

    def __init__(self, root: Path, name: str) -> None:
        self.name, self.corpus, self.path = name, root / name, root / f"{name}.json"
        self.figures: dict[str, float] = dict.fromkeys((*FIGURES, "seconds"), 0)
        if self.path.exists():
            self.figures |= json.loads(self.path.read_text())

    def add(self, figures: dict[str, float]) -> None:
        for word, count in figures.items():
            self.figures[word] += count
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.path.write_text(json.dumps(self.figures))

    @property
    def row(self) -> str:
        counts = " | ".join(f"{int(self.figures[word]):,}" for word in FIGURES)
        rate = self.figures["inputs"] / max(self.figures["seconds"], 1e-9)
        return f"| {self.name} | {counts} | {rate:,.0f} |"


HEAD = "| target | inputs | read | refused | findings | a second |\n|---|---:|---:|---:|---:|---:|"


def run(names: Sequence[str], asked: argparse.Namespace, engine: str) -> int:
    """Run the targets in turn, each until it has its inputs. Returns the number of findings."""
    found = 0
    for turn in range(asked.turns):
        due = [Tally(asked.corpus, name) for name in names]
        due = [one for one in due if one.figures["inputs"] < (asked.inputs or UNLIMITED)]
        if not due:
            break
        print(HEAD, flush=True)
        for tally in due:
            seed = asked.seed + 1000 * turn
            most = (asked.inputs or UNLIMITED) - int(tally.figures["inputs"])
            total: dict[str, float] = defaultdict(float)
            try:
                fuzz(tally.name, asked.seconds, most, seed, engine, tally.corpus, total)
            finally:
                tally.add(total)
            found += int(total["findings"])
            print(tally.row, flush=True)
    return found


def main() -> None:
    sys.path[:0] = [str(HERE), str(HERE.parent / "src")]
    if sys.argv[1:2] == ["--work"]:
        name, folder, corpus, seconds, most, seed, engine = sys.argv[2:]
        work(name, Path(folder), Path(corpus), float(seconds), int(most), int(seed), engine)
        return
    from targets import targets

    installed = importlib.util.find_spec("atheris") is not None
    parser = argparse.ArgumentParser(description="Fuzz the readers of boneseg.")
    parser.add_argument("targets", nargs="*", help="names of targets; none: all of them")
    parser.add_argument("--seconds", type=float, default=60, help="for each target in a turn")
    parser.add_argument("--turns", type=int, default=1, help="over the targets")
    parser.add_argument(
        "--inputs", type=int, help="of a target in all runs; those that have had them are left out"
    )
    parser.add_argument("--corpus", type=Path, default=CORPUS, help="folder to continue")
    parser.add_argument("--seed", type=int, default=0, help="of the mutations")
    parser.add_argument("--engine", choices=("atheris", "mutate"), help="default: what there is")
    parser.add_argument("--list", action="store_true", help="list the targets and stop")
    parser.add_argument("--table", action="store_true", help="print the figures so far and stop")
    asked = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # figures are kept, as at Ctrl-C
    known = list(targets())
    if unknown := set(asked.targets) - set(known):
        parser.error(f"no target {', '.join(sorted(unknown))}; known: {', '.join(known)}")
    names = asked.targets or known
    if asked.list:
        print("\n".join(known))
    elif asked.table:
        print(HEAD, *(Tally(asked.corpus, name).row for name in names), sep="\n")
    else:
        engine = asked.engine or ("atheris" if installed else "mutate")
        sys.exit(run(names, asked, engine) > 0)


if __name__ == "__main__":
    main()
