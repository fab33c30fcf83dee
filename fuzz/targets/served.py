"""The files of a light box: its records, and what the model found on a film."""

from __future__ import annotations

import gzip
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np

from boneseg.server.retraining.records import HeldOut, Request
from boneseg.server.retraining.runs import Runs
from boneseg.server.storage.drafts import Drafts, Origin
from boneseg.server.storage.measures import MeasureFiles
from boneseg.server.storage.records import ChosenModels, Record, States
from boneseg.server.storage.retention import RemovedFilms
from targets.settings import these
from targets.target import Target

SIZE = (6, 8)
MASK = np.zeros(SIZE, bool)
MASK[2:4, 2:5] = True
FILM = "0123456789ab"

ORIGIN = Origin("0123456789abcdef", "1700000000-12", *SIZE)
STATES = b'{"version": 3, "states": {"0123456789ab-0123456789abcdef": {"state": "accepted"}}}'
OLD_STATES = b'{"0123456789ab-0123456789abcdef": "corrected"}'
REMOVED = b'{"version": 2, "since": {"0123456789ab": 1700000000.5}}'
CHOSEN = b'{"version": 2, "bundle": "runs/1/bundle", "api": null}'
REQUEST = b'{"version": 1, "model": "bundle", "settings": ["run.steps=3"], "drawn": ["knee"]}'
HELD_OUT = b'{"version": 2, "films": {"knee": true, "hand": false}}'
RUN = (
    b'{"version": 1, "number": 1, "films": 8, "minutes": 0.5, "state": "running", "checks": '
    b'[{"done": 0.5, "loss": 0.2, "dice": 0.7}], "before": {"dice": 0.8, "cases": {"knee": 0.8}}, '
    b'"after": {"dice": 0.9, "cases": {"knee": 0.9}}, "p": 0.01, "scoring": 1}'
)
MEASURES = (
    b'{"version": 1, "measures": [{"version": 1, "kind": "length", "points": [[1, 2], [3, 4.5]], '
    b'"name": "shaft"}, {"kind": "cobb", "points": [[1, 2], [3, 4], [5, 6], [7, 8]]}]}'
)


def _record(kind: type[Record]) -> Callable[[Path], object]:
    return lambda path: kind.load(path)


def _read_run(path: Path) -> None:
    folder = path.parent / "runs" / "1"
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copy(path, folder / "run.json")
    runs = Runs(path.parent / "runs")
    run = runs.latest()
    runs.finished()
    if run is not None:
        str(run.outcome)


def _read_measures(path: Path) -> None:
    MeasureFiles(path.parent).of(path.stem)


def _facts(folder: Path) -> list[bytes]:
    from boneseg.server.storage.results import StoredFacts
    from tests.unit.server.storage.test_results import FACTS

    StoredFacts(**FACTS).write(folder / "facts.json")
    return [(folder / "facts.json").read_bytes()]


def _read_facts(path: Path) -> None:
    from boneseg.server.storage.cache import Cache

    place = path.parent / "cache" / FILM
    place.mkdir(parents=True, exist_ok=True)
    shutil.copy(path, place / "facts.json")
    cache = Cache(path.parent / "cache")
    cache.answers(FILM)
    if (facts := cache.facts(FILM, "1-2", "ab")) is not None:
        facts.judgement()
        facts.calibrated(0.1)


def _read_signature(path: Path) -> None:
    from boneseg.server.storage.history import History

    folder = path.parent / "history" / "knee"
    folder.mkdir(parents=True, exist_ok=True)
    name = "20260101T000000000000-0123456789abcdef"
    (folder / f"{name}.png").touch()
    shutil.copy(path, folder / f"{name}.json")
    History(path.parent / "history").of("knee")


def _read_mask(path: Path) -> None:
    from boneseg.server.encoding import unzipped_mask

    unzipped_mask(path.read_bytes(), SIZE, "knee.png")


def _read_draft(path: Path) -> None:
    drafts = Drafts(path.parent)
    drafts.origin(FILM)
    drafts.films()


def _read_probability(path: Path) -> None:
    from boneseg.server.encoding import is_threshold_of

    is_threshold_of(MASK, path.read_bytes(), "knee.png")


def targets() -> dict[str, Target]:
    from boneseg.server.encoding import packed_mask, packed_probability

    bits, grey = packed_mask(MASK), packed_probability(MASK.astype(np.float32) * 0.8)
    return {
        "box-states": Target("states.json", _record(States), these(STATES, OLD_STATES)),
        "box-removed": Target("removed.json", RemovedFilms, these(REMOVED)),
        "box-models": Target("models.json", _record(ChosenModels), these(CHOSEN)),
        "box-request": Target("request.json", _record(Request), these(REQUEST)),
        "box-held-out": Target("held_out.json", _record(HeldOut), these(HELD_OUT)),
        "box-run": Target("run.json", _read_run, these(RUN)),
        "box-measures": Target(f"{FILM}.json", _read_measures, these(MEASURES)),
        "box-facts": Target("facts.json", _read_facts, _facts),
        "box-signature": Target(
            "signature.json", _read_signature, these(b'{"version": 1, "state": "accepted"}')
        ),
        "box-mask": Target("mask.bits.gz", _read_mask, these(bits, gzip.compress(b"\1" * 6))),
        "box-draft": Target(f"{FILM}.bits.gz", _read_draft, these(ORIGIN.into(bits), bits)),
        "box-probability": Target("probability.u8.gz", _read_probability, these(grey)),
    }
