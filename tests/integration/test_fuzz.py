"""The harness of fuzz/: its seeds are valid files, and it detects errors."""

from __future__ import annotations

import argparse
import datetime
import random
import sys
import time
from pathlib import Path

import pytest

from tests.support import ROOT

sys.path.append(str(ROOT / "fuzz"))

import run
from mutations import mutate, png_checked
from targets import Target, targets

TARGETS = targets()
SECONDS, LONGER = 0.5, 20.0  # for each target on most days, and on one in DAYS
DAYS = 20


@pytest.mark.parametrize("name", TARGETS)
def test_seeds_are_read(name: str, tmp_path: Path) -> None:
    target, made = TARGETS[name], tmp_path / "seeds"
    made.mkdir()
    path = tmp_path / target.name
    for content in target.seeds(made):
        path.write_bytes(content)
        target.read(path)


@pytest.mark.parametrize("name", TARGETS)
def test_damaged_files_are_refused_in_one_line(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Others every day: the error of a finding has the number of the day, which is their seed."""
    monkeypatch.setattr(run, "FINDINGS", tmp_path / "findings")
    monkeypatch.setattr(run, "MEMORY", 2**40)  # of a process that has run other tests
    today = datetime.datetime.now(datetime.UTC).date().toordinal()
    rng = random.Random(f"{name} {today}")
    longer = list(TARGETS).index(name) % DAYS == today % DAYS
    subject, end = run.Subject(name, tmp_path), time.monotonic() + (LONGER if longer else SECONDS)
    while not subject.figures["inputs"] or time.monotonic() < end:
        subject.check(mutate(rng, subject.seeds), timed=False)
    found = [path.read_text() for path in (tmp_path / "findings").rglob("*.txt")]
    assert not found, (name, today)
    assert subject.figures["refused"] or subject.figures["read"]


def test_a_corpus_and_its_figures_are_continued(tmp_path: Path) -> None:
    tally = run.Tally(tmp_path, "history")
    tally.add({"inputs": 5, "read": 4, "refused": 1, "findings": 0, "seconds": 2.0})
    again = run.Tally(tmp_path, "history")
    again.add({"inputs": 5, "read": 5, "refused": 0, "findings": 1, "seconds": 0.5})
    assert run.Tally(tmp_path, "history").row == "| history | 10 | 9 | 1 | 1 | 4 |"


def test_the_figures_of_an_interrupted_run_are_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(child: object, folder: Path, seconds: float) -> None:
        while not run._figures(folder).get("inputs"):
            time.sleep(0.1)
        raise KeyboardInterrupt

    monkeypatch.setattr(run, "_wait", interrupt)
    asked = argparse.Namespace(corpus=tmp_path, turns=1, inputs=None, seed=0, seconds=60)
    with pytest.raises(KeyboardInterrupt):
        run.run(["history"], asked, "mutate")
    assert run.Tally(tmp_path, "history").figures["inputs"] > 0


def test_check_sums_of_a_png_are_corrected() -> None:
    content = bytearray(TARGETS["film-png"].seeds(Path("unused"))[0])
    assert png_checked(bytes(content)) == bytes(content)
    content[20] ^= 1  # the width
    assert png_checked(bytes(content)) != bytes(content)
    assert png_checked(b"other") == b"other"


def test_values_within_a_document_are_replaced() -> None:
    rng, document = random.Random(0), b'{"a": [1, {"b": "c"}], "d": null}'
    found = {mutate(rng, [document]) for _ in range(200)}
    assert sum(one.startswith(b"{") and one.endswith(b"}") for one in found) > 50
    assert len({mutate(rng, [b"[]"]) for _ in range(200)}) > 20


def test_a_foreign_exception_and_two_lines_are_findings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run, "FINDINGS", tmp_path / "findings")
    monkeypatch.setattr(run, "MEMORY", 2**40)
    subject = run.Subject("history", tmp_path)

    class TwoLinesError(subject.expected):
        def __str__(self) -> str:
            return "one\ntwo"

    def read(path: Path) -> None:
        if path.read_bytes() == b"odd":
            raise KeyError("odd")
        if path.read_bytes() == b"lines":
            raise TwoLinesError

    subject.target = Target("history.csv", read, lambda folder: [])
    for content in (b"odd", b"odd", b"lines", b"good"):
        subject.check(content, timed=False)
    assert subject.figures == {"inputs": 4, "read": 3, "refused": 1, "findings": 2}
    found = sorted(path.name[:5] for path in (tmp_path / "findings" / "history").glob("*.txt"))
    assert found == ["KeyEr", "lines"]


def test_a_process_that_grows_too_large_ends_and_its_last_inputs_are_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class EndedError(BaseException):
        pass

    def end(status: int) -> None:
        raise EndedError(status)

    monkeypatch.setattr(run, "FINDINGS", tmp_path / "findings")
    monkeypatch.setattr(run, "MEMORY", 2**40)
    monkeypatch.setattr(run.os, "_exit", end)
    subject = run.Subject("history", tmp_path)
    for number in range(run.WEIGHED + 3):
        subject.check(b"small %d" % number, timed=False)
    assert subject.figures["findings"] == 0
    monkeypatch.setattr(run, "MEMORY", 1)
    with pytest.raises(EndedError):
        subject.weigh()
    kept = [path for path in (tmp_path / "findings" / "history").iterdir() if path.suffix == ".csv"]
    assert {path.read_bytes()[-2:] for path in kept} == {b"16", b"17", b"18"}
    assert subject.figures["findings"] == 1


def test_mutations_are_those_of_their_seed() -> None:
    def some(seed: int) -> list[bytes]:
        rng = random.Random(seed)
        return [mutate(rng, [b"a seed of some length", b"another"]) for _ in range(50)]

    assert some(1) == some(1) != some(2)
    assert len(set(some(1))) > 30


def test_mutations_of_documents_do_not_depend_on_earlier_ones() -> None:
    def some() -> list[bytes]:
        rng = random.Random(0)
        return [mutate(rng, [b'{"a": [1, {"b": "c"}], "d": null}']) for _ in range(500)]

    assert some() == some()
