"""Films on the spool are segmented in order; none stops the node."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pydicom
import pytest

from boneseg.errors import DecoderDiedError, OutputError
from boneseg.inference.engine import Engine
from boneseg.masks.verdict import Grade
from boneseg.pacs.node import segmenter
from boneseg.pacs.node.segmenter import DISK_PAUSE, IDLE_PAUSE, Segmenter
from boneseg.pacs.node.spool import Spool
from tests.support.readings import dicom_film
from tests.support.verdicts import REVIEW


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    return Spool(tmp_path / "spool", 9)


def put(spool: Spool, folder: Path) -> Path:
    film = dicom_film(folder / "knee.dcm")
    return spool.put("films", str(pydicom.dcmread(film).SOPInstanceUID), [film.read_bytes()])


def test_a_film_becomes_an_answer(spool: Spool, tmp_path: Path, engine: Engine) -> None:
    calls: list[int] = []
    one = Segmenter(spool, engine, lambda: calls.append(1))
    assert one.step() == IDLE_PAUSE
    put(spool, tmp_path)
    assert one.step() == 0 and len(calls) == 1
    assert spool.next("films") is None
    answer = spool.next("answers")
    assert answer is not None and pydicom.dcmread(answer).Modality == "SEG"


@pytest.mark.parametrize(("least", "sent"), [("good", False), ("review", True)])
def test_a_mask_with_a_lower_verdict_is_not_sent(
    spool: Spool,
    tmp_path: Path,
    engine: Engine,
    monkeypatch: pytest.MonkeyPatch,
    lines: list[str],
    least: Grade,
    sent: bool,
) -> None:
    put(spool, tmp_path)
    real = segmenter.segment
    monkeypatch.setattr(segmenter, "segment", lambda *of: replace(real(*of), verdict=REVIEW))
    Segmenter(spool, engine, lambda: None, least).step()
    assert (spool.next("answers") is not None) == sent
    assert spool.next("films") is None and spool.next("failed") is None
    done = "segmented" if sent else "withheld"
    assert any(f"{done}; chest, frontal; review (trust 0.81)" in line for line in lines)


def fail(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    def segment(*_: object) -> None:
        raise error

    monkeypatch.setattr(segmenter, "segment", segment)


def test_a_full_disk_is_not_a_fault_of_the_film(
    spool: Spool, tmp_path: Path, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = put(spool, tmp_path)
    fail(monkeypatch, OutputError("spool: cannot be written (No space left on device)"))
    one = Segmenter(spool, engine, lambda: None)
    assert [one.step() for _ in range(5)] == [DISK_PAUSE] * 5
    assert spool.next("films") == path


def test_a_film_over_which_the_decoder_died_is_tried_once_more(
    spool: Spool, tmp_path: Path, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = put(spool, tmp_path)
    fail(monkeypatch, DecoderDiedError("film: ended the process that read it (SIGSEGV)"))
    one = Segmenter(spool, engine, lambda: None)
    one.step()
    assert spool.next("films") == path and spool.next("failed") is None
    one.step()
    assert spool.next("films") is None and spool.next("failed") is not None


def test_any_other_error_fails_its_film_alone_and_quotes_nothing(
    spool: Spool,
    tmp_path: Path,
    engine: Engine,
    monkeypatch: pytest.MonkeyPatch,
    lines: list[str],
) -> None:
    put(spool, tmp_path)
    fail(monkeypatch, KeyError("Zaphod^Beeblebrox"))
    Segmenter(spool, engine, lambda: None).step()
    assert spool.next("failed") is not None
    assert any("KeyError" in line for line in lines)
    assert not any("Zaphod" in line for line in lines)
