"""Fuzz the readers: `python fuzz/run.py --seconds 60 dicom-jpeg-2000 mask-coco`.

Each target runs in a process of its own. An input that raises anything but a BonesegError, that
takes more than SECONDS, that leaves the process above MEMORY or ends it, is kept under
fuzz/findings/TARGET with a text that says why; the run goes on. See README.md.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.util
import json
import logging
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
import warnings
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
FINDINGS = HERE / "findings"
SECONDS = 10  # for an input
MEMORY = 2**30  # bytes that the process, or its decoder, may have resident
HUNG = 30.0  # seconds without news after which a process in native code is killed
NUMBERS = (0, 1, 2, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)
WORDS = (
    *(b"", b"0", b"-1", b"1e999", b"NaN", b"Infinity", b"null", b"[]", b"{}", b"true", b'"'),
    *(b"9" * 30, b"0.5", b"[" * 2000, b"\\u0000", b"\xff\xfe", b"\xef\xbb\xbf", b"\n", b"&amp;"),
)


class SlowError(BaseException):
    """An input took too long; no reader catches this."""


class Subject:
    """One target in this process, and what it has found."""

    def __init__(self, name: str, folder: Path) -> None:
        from targets import targets

        from boneseg.errors import BonesegError

        self.name, self.folder, self.expected = name, folder, BonesegError
        self.target = targets()[name]
        made = folder / "seeds"
        made.mkdir(exist_ok=True)
        self.seeds = self.target.seeds(made)
        self.path = folder / self.target.name
        self.figures = {"inputs": 0, "read": 0, "refused": 0, "findings": 0}
        self.seen: set[str] = set()

    def check(self, data: bytes, timed: bool = True) -> None:
        """Read one input, and keep it if it is a finding."""
        self.path.write_bytes(data)
        (self.folder / "current").write_bytes(data)
        outcome = "read"
        if timed:
            signal.alarm(SECONDS)
        try:
            self.target.read(self.path)
        except self.expected as error:
            outcome = "refused"
            if len(str(error).splitlines()) != 1:
                self.keep(data, "lines", str(error))
        except SlowError:
            self.keep(data, "slow", "".join(traceback.format_stack()))
        except Exception as error:
            frames = traceback.extract_tb(error.__traceback__)
            own = [frame for frame in frames if "boneseg" in frame.filename] or frames
            place = f"{type(error).__name__} {Path(own[-1].filename).name}:{own[-1].lineno}"
            self.keep(data, place, traceback.format_exc())
        finally:
            signal.alarm(0)
        self.figures["inputs"] += 1
        self.figures[outcome] += 1
        if self.figures["inputs"] % 20 == 1 and resident() > MEMORY:
            self.keep(data, "memory", f"{resident() / 2**20:.0f} MB resident, by the last 20")
            self.report()
            os._exit(3)
        if self.figures["inputs"] % 20 == 1:
            self.report()

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


def mutate(rng: random.Random, seeds: list[bytes]) -> bytes:
    """A seed with some bytes set, numbers put in, parts cut, doubled or taken from another."""
    data = bytearray(rng.choice(seeds))
    for _ in range(rng.choice((1, 1, 2, 4, 8))):
        if not data:
            break
        reach = rng.choice((64, 512, len(data)))  # headers are at the front
        at = rng.randrange(min(reach, len(data)))
        length = rng.choice((1, 2, 4, 8, rng.randrange(1, 1 + max(1, len(data) // 4))))
        action = rng.randrange(8)
        if action == 0:
            data[at] ^= 1 << rng.randrange(8)
        elif action == 1:
            data[at] = rng.randrange(256)
        elif action == 2:
            size, order = rng.choice((1, 2, 4)), rng.choice(("little", "big"))
            number = rng.choice(NUMBERS) & (256**size - 1)
            data[at : at + size] = number.to_bytes(size, order)  # type: ignore[arg-type]
        elif action == 3:
            del data[at : at + length]
        elif action == 4:
            data[at:at] = data[at : at + length] * rng.choice((1, 1, 2, 50))
        elif action == 5:
            other = rng.choice(seeds)
            start = rng.randrange(len(other))
            data[at : at + length] = other[start : start + length]
        elif action == 6:
            data[at : at + rng.choice((0, length))] = rng.choice(WORDS)
        else:
            del data[rng.randrange(len(data)) :]
    return bytes(data[:1_000_000])


def work(name: str, folder: Path, seconds: float, seed: int, engine: str) -> None:
    """In the process of a target: read inputs until the time is up."""
    logging.disable(logging.CRITICAL)
    warnings.simplefilter("ignore")
    sys.path[:0] = [str(HERE), str(HERE.parent / "src")]
    signal.signal(signal.SIGALRM, _late)
    if engine == "atheris":
        import atheris

        with atheris.instrument_imports(include=["boneseg"]):
            subject = Subject(name, folder)
        corpus = folder / "corpus"
        corpus.mkdir()
        for number, content in enumerate(subject.seeds):
            (corpus / str(number)).write_bytes(content)
        flags = ["-timeout=60", "-rss_limit_mb=0", "-max_len=1000000", "-verbosity=0"]
        words = [sys.argv[0], f"-max_total_time={int(seconds)}", f"-seed={seed + 1}", *flags]
        atheris.Setup([*words, str(corpus)], subject.check)
        atheris.Fuzz()
        return
    subject = Subject(name, folder)
    rng, end = random.Random(seed), time.monotonic() + seconds
    for content in subject.seeds:
        subject.check(content)
    if subject.figures["read"] < len(subject.seeds):
        subject.keep(b"", "seed", "a seed is refused, so little can be found")
    while time.monotonic() < end:
        subject.check(mutate(rng, subject.seeds))
    subject.report()


def _late(*_: Any) -> None:
    raise SlowError


def fuzz(name: str, seconds: float, seed: int, engine: str) -> dict[str, int]:
    """Run a target for so long, in as many processes as it takes. Returns the figures."""
    total: dict[str, int] = {}
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 1:
        with tempfile.TemporaryDirectory() as place:
            folder = Path(place)
            words = [name, str(folder), str(left), str(seed), engine]
            call = [sys.executable, __file__, "--work", *words]
            with (folder / "stderr").open("wb") as stderr:  # no pipe: libtiff writes a lot
                child = subprocess.Popen(call, stdout=subprocess.DEVNULL, stderr=stderr)
                ended = _wait(child, folder, left)
            if child.returncode not in (0, 3) and ended != "time":
                current = folder / "current"
                said = (folder / "stderr").read_bytes()[-4000:].decode(errors="replace")
                data = current.read_bytes() if current.exists() else b""
                keep(name, data, "input", ended or f"exit {child.returncode}", said)
                total["findings"] = total.get("findings", 0) + 1
            figures = folder / "figures.json"
            for word, count in json.loads(
                figures.read_text() if figures.exists() else "{}"
            ).items():
                total[word] = total.get(word, 0) + count
        seed += 1
    return total


def _wait(child: subprocess.Popen[bytes], folder: Path, seconds: float) -> str:
    """Wait for a process; kill it if it is silent for too long."""
    end, current = time.monotonic() + seconds + HUNG, folder / "current"
    while child.poll() is None:
        time.sleep(0.1)
        age = time.time() - current.stat().st_mtime if current.exists() else 0
        if age > HUNG or time.monotonic() > end:
            child.kill()
            child.wait()
            return "hung" if age > HUNG else "time"
    return ""


def main() -> None:
    sys.path[:0] = [str(HERE), str(HERE.parent / "src")]
    if sys.argv[1:2] == ["--work"]:
        name, folder, seconds, seed, engine = sys.argv[2:]
        work(name, Path(folder), float(seconds), int(seed), engine)
        return
    from targets import targets

    installed = importlib.util.find_spec("atheris") is not None
    parser = argparse.ArgumentParser(description="Fuzz the readers of boneseg.")
    parser.add_argument("targets", nargs="*", help="names of targets; none: all of them")
    parser.add_argument("--seconds", type=float, default=60, help="for each target")
    parser.add_argument("--seed", type=int, default=0, help="of the mutations")
    parser.add_argument("--engine", choices=("atheris", "mutate"), help="default: what there is")
    parser.add_argument("--list", action="store_true", help="list the targets and stop")
    asked = parser.parse_args()
    known = list(targets())
    if unknown := set(asked.targets) - set(known):
        parser.error(f"no target {', '.join(sorted(unknown))}; known: {', '.join(known)}")
    if asked.list:
        print("\n".join(known))
        return
    engine = asked.engine or ("atheris" if installed else "mutate")
    print("| target | inputs | read | refused | findings |\n|---|---:|---:|---:|---:|")
    found = 0
    for name in asked.targets or known:
        shutil.rmtree(FINDINGS / name, ignore_errors=True)
        figures = fuzz(name, asked.seconds, asked.seed, engine)
        row = [figures.get(word, 0) for word in ("inputs", "read", "refused", "findings")]
        found += row[-1]
        print(f"| {name} | " + " | ".join(f"{count:,}" for count in row) + " |", flush=True)
    sys.exit(found > 0)


if __name__ == "__main__":
    main()
