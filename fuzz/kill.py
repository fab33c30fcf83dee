"""Kill boneseg at random moments, start it again, and compare: `python fuzz/kill.py --kills 200`.

Each verb runs once undisturbed on small made films. Then, again and again: it is started in a
fresh folder, killed (SIGKILL, with all that it started) when it has used a random part of the
processor time of the undisturbed run, perhaps killed a second time, and run to its end. After each
kill, every finished file must be whole: the same as that of the undisturbed run. At the end all
files must be the same (weights bit by bit; only durations may differ), and no temporary file may be
left. The light box and the node are killed while a client saves masks and sends films: all that was
acknowledged must be there afterwards. See README.md.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import itertools
import json
import os
import random
import re
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Generator
from dataclasses import dataclass, field
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent), str(HERE.parent / "src")]

from zygote import Zygote  # noqa: E402

from boneseg._util.files import JSON  # noqa: E402

PATIENCE = 300.0  # seconds for a run
UNTIMED = ("seconds", "card_sha256", "model")  # keys and columns that contain or depend on times
SKIPPED = (".html", ".db")  # files that contain times, or are written in pieces by SQLite
OFTEN = {"segment": 4, "convert": 3, "simulate": 3, "light box": 3, "train": 2}  # in a turn
GROWING = ("checkpoint.safetensors", "views.csv", "history.csv")  # differ until the end
SMALL = (
    *("prepare.height=32", "prepare.width=32", "network.width=4", "network.levels=2"),
    *("network.stem=1", "run.precision=fp32", "run.batch=4"),
)


@dataclass(frozen=True)
class Verb:
    """A verb and its words. again: those that continue after a kill, added to the others."""

    name: str
    words: tuple[str, ...]
    again: tuple[str, ...] = ()


@dataclass
class Outcome:
    """How a verb fared."""

    kills: int = 0
    early: int = 0  # it had ended before it was killed
    wrong: list[str] = field(default_factory=list)


Runs = Generator[Outcome, None, None]


def verbs(place: Path) -> list[Verb]:
    films, data = str(place / "data" / "images"), str(place / "data")
    settings = [word for setting in SMALL for word in ("--set", setting)]
    bundle = ("--model", str(place / "bundle"))
    formats = "mask,overlay,probability,nrrd,coco,measurements"
    again = ("--resume",)
    return [
        Verb("segment", ("segment", films, *bundle, "--format", formats)),
        Verb("convert", ("convert", data, "--to", "mask,nrrd,nifti,coco,labelme,cvat")),
        Verb("simulate", ("simulate", "--count", "8", "--size", "96"), again),
        Verb("train", ("train", data, "--epochs", "6", *settings), again),
        Verb("crossval", ("crossval", data, "--folds", "2", "--epochs", "2", *settings), again),
        Verb("tune", ("tune", data, "--trials", "2", "--epochs", "2", *settings), again),
    ]


def prepare(place: Path) -> None:
    """Films and masks, and a small model."""
    from targets.bundles import small

    from tests.support.datasets import add, limb

    for name in ("images", "masks"):
        (place / "data" / name).mkdir(parents=True)
    for seed in range(8):
        add(place / "data", f"knee{seed}", *limb(seed))
    shutil.copytree(small(), place / "bundle")


# -- what a run has left --------------------------------------------------------------------------


def contents(folder: Path) -> dict[str, str]:
    """A digest of each file without its times, by its name below the folder."""
    return {
        str(path.relative_to(folder)): _digest(path)
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.suffix not in SKIPPED
    }


def _digest(path: Path) -> str:
    content = path.read_bytes()
    if path.suffix == ".json":
        content = json.dumps(_untimed(json.loads(content))).encode()
    elif path.suffix == ".csv":
        rows = list(csv.reader(content.decode().splitlines()))
        timed = {at for at, name in enumerate(rows[0] if rows else []) if name in UNTIMED}
        kept = [[cell for at, cell in enumerate(row) if at not in timed] for row in rows]
        content = json.dumps(kept).encode()
    elif path.suffix == ".nrrd":  # pynrrd adds a comment with the time
        content = re.sub(rb"\n# on [^\n]*", b"", content)
    elif path.name == "checkpoint.safetensors":  # its header has the seconds
        content = content[8 + int.from_bytes(content[:8], "little") :]
    return hashlib.sha256(content).hexdigest()


def _untimed(value: JSON) -> JSON:
    if isinstance(value, dict):
        return {key: _untimed(one) for key, one in value.items() if key not in UNTIMED}
    return [_untimed(one) for one in value] if isinstance(value, list) else value


def torn(folder: Path, whole: dict[str, str]) -> list[str]:
    """The finished files that differ from those of the undisturbed run, and damaged documents."""
    wrong = []
    for path in folder.rglob("*") if folder.exists() else ():
        name = str(path.relative_to(folder))
        hidden = any(part.startswith(".") for part in path.relative_to(folder).parts)
        if not path.is_file() or hidden or path.suffix in SKIPPED or path.name in GROWING:
            continue
        try:
            digest = _digest(path)
        except (ValueError, IndexError):
            wrong.append(f"{name} is damaged")
            continue
        if path.suffix not in (".json", ".csv", ".xml") and whole.get(name) not in (None, digest):
            wrong.append(f"{name} is torn")
    return wrong


def temporary(folder: Path) -> list[str]:
    """The temporary files in a folder of results."""
    return [
        str(path.relative_to(folder))
        for path in folder.rglob("*")
        if path.name.startswith(".") or path.suffix in (".new", ".old", ".part", ".tmp")
    ]


# -- killing --------------------------------------------------------------------------------------


def used(group: int) -> float:
    """Seconds of a processor that a process has taken; 0 once it has ended."""
    try:
        words = Path(f"/proc/{group}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")


def killed_after(zygote: Zygote, group: int, seconds: float) -> bool:
    """Kill a call once it has used that much of a processor; whether it was still running."""
    end = time.monotonic() + PATIENCE
    while zygote.poll(group) is None:
        if used(group) >= seconds or time.monotonic() > end:
            os.killpg(group, signal.SIGKILL)
            zygote.wait(group)
            return True
        time.sleep(0.004)
    return False


def run_verb(zygote: Zygote, verb: Verb, place: Path, rng: random.Random) -> Runs:
    """Kill a verb once or twice, run it to its end, and compare; again and again."""
    log, temp = place / f"{verb.name}.log", place / "tmp"
    whole, took = _undisturbed(zygote, verb, place / f"{verb.name}-whole", log)
    while True:
        outcome, out = Outcome(), place / f"{verb.name}-cut"
        shutil.rmtree(out, ignore_errors=True)
        log.unlink(missing_ok=True)
        for attempt in range(rng.choice((1, 1, 2))):
            again = verb.again if attempt and out.exists() else ()
            group = zygote.start([*verb.words, "--out", str(out), *again], log)
            if not killed_after(zygote, group, rng.uniform(0, took)):
                outcome.early += 1
                break
            outcome.kills += 1
            outcome.wrong += [f"after a kill, {one}" for one in torn(out, whole)]
        again = verb.again if out.exists() else ()
        status = zygote.wait(zygote.start([*verb.words, "--out", str(out), *again], log))
        if status:
            outcome.wrong.append(f"then ended with {status}: {last_line(log)}")
        else:
            found = contents(out)
            names = {name for name in found | whole if found.get(name) != whole.get(name)}
            outcome.wrong += [f"differs in the end: {name}" for name in sorted(names)]
            outcome.wrong += [f"left {name}" for name in temporary(out)]
        outcome.wrong += [
            f"left {path.name} in TMPDIR"
            for path in temp.iterdir()
            if not path.name.startswith("torchinductor_")  # a cache that PyTorch keeps
        ]
        yield outcome


def _undisturbed(zygote: Zygote, verb: Verb, out: Path, log: Path) -> tuple[dict[str, str], float]:
    """The files of a whole run, and its seconds of a processor."""
    took, group = 0.0, zygote.start([*verb.words, "--out", str(out)], log)
    while (status := zygote.poll(group)) is None:
        took = used(group) or took
        time.sleep(0.02)
    if status:
        raise RuntimeError(f"{verb.name} ended with {status}: {last_line(log)}")
    return contents(out), took


def last_line(log: Path) -> str:
    lines = log.read_text(errors="replace").strip().splitlines()
    return lines[-1][:300] if lines else ""


# -- all of them ----------------------------------------------------------------------------------


def runners(zygote: Zygote, place: Path, seed: str) -> dict[str, Runs]:
    """What kills each verb again and again."""
    from kill_services import kill_light_box, kill_node

    found = {
        verb.name: run_verb(zygote, verb, place, random.Random(f"{seed} {verb.name}"))
        for verb in verbs(place)
    }
    rng = random.Random(f"{seed} services")
    return {
        **found,
        "light box": kill_light_box(zygote, place, rng),
        "node": kill_node(zygote, place, rng),
    }


def read_report(path: Path | None) -> dict[str, Outcome]:
    if path is None or not path.exists():
        return {}
    return {name: Outcome(**one) for name, one in json.loads(path.read_text()).items()}


def main() -> None:
    parser = argparse.ArgumentParser(description="Kill boneseg at random moments.")
    parser.add_argument("verbs", nargs="*", help="segment, train, node, ...; none: all")
    parser.add_argument("--kills", type=int, default=200, help="of all verbs together")
    parser.add_argument("--minutes", type=float, default=120, help="after which no more begin")
    parser.add_argument("--report", type=Path, help="file with the counts so far, to continue")
    asked = parser.parse_args()
    total = read_report(asked.report)
    done = sum(one.kills for one in total.values())
    end = time.monotonic() + 60 * asked.minutes
    with tempfile.TemporaryDirectory(prefix="boneseg-kill-") as folder:
        place = Path(folder)
        (place / "tmp").mkdir()
        prepare(place)
        env = {"TMPDIR": str(place / "tmp"), "XDG_CACHE_HOME": str(place / "cache")}
        with Zygote(env) as zygote:
            all_runs = runners(zygote, place, f"{done}")
            chosen = {name: all_runs[name] for name in asked.verbs or all_runs}
            turns = itertools.cycle(name for name in chosen for _ in range(OFTEN.get(name, 1)))
            for name in turns:
                if done >= asked.kills or time.monotonic() > end:
                    break
                outcome, before = next(chosen[name]), total.setdefault(name, Outcome())
                before.kills, before.early = (
                    before.kills + outcome.kills,
                    before.early + outcome.early,
                )
                before.wrong += outcome.wrong
                done += outcome.kills
                print(f"{done} {name} {outcome}", file=sys.stderr, flush=True)
                if asked.report is not None:
                    asked.report.write_text(json.dumps({n: vars(o) for n, o in total.items()}))
            for runs in chosen.values():
                runs.close()
    print("| killed | kills | ended before | wrong |\n|---|---:|---:|---:|")
    for name, one in total.items():
        print(f"| {name} | {one.kills} | {one.early} | {len(one.wrong)} |")
    wrong = [f"{name}: {what}" for name, one in total.items() for what in one.wrong]
    print(f"wrong: {len(wrong)}", *wrong[:30], sep="\n  ")
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
