"""What somebody has drawn or corrected among the results is not replaced."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from boneseg.dataset.convert import convert_dataset
from boneseg.dataset.open import open_dataset
from boneseg.errors import OutputError, UsageError
from boneseg.inference.batch import Result, segment_files
from boneseg.inference.engine import Engine
from boneseg.masks.formats import FORMATS
from boneseg.masks.ledger import Ledger, digest_of
from boneseg.radiograph.provenance import ReportEntry
from boneseg.simulate import simulate
from tests.support.results import DOCUMENTS, film, segmented, titles


def edited(path: Path) -> bytes:
    """What is in a file after somebody has changed it, long ago by the clock of their machine."""
    file = path if path.is_file() else next(path.iterdir())
    text = file.read_bytes()  # JSON is one line, and a CSV allows no blanks
    file.write_bytes(text.replace(b"\n", b"\r\n") if b"\n" in text.strip() else text + b" ")
    os.utime(file, (1e9, 1e9))
    return file.read_bytes()


@pytest.mark.parametrize("kind", ["mask", "labelme", "bones"])
def test_a_corrected_result_is_not_replaced_and_the_others_are(
    kind: str, engine: Engine, tmp_path: Path
) -> None:
    hand, foot = film(tmp_path / "hand.png"), film(tmp_path / "foot.png")
    out, words = tmp_path / "out", {"formats": ["mask", "overlay", kind]}
    [before, _] = segmented(engine, out, hand, foot, **words)
    drawn = out / before["outputs"][kind]
    now = edited(drawn)
    (out / "hand_overlay.png").unlink()
    (out / "foot_overlay.png").unlink()
    one, other = segment_files([hand, foot], out, engine, **words)
    assert one.error == (
        f"{drawn}: was changed since boneseg wrote it, so it is not replaced; move it, or choose "
        "another folder for --out"
    )
    assert other.error is None
    assert now in [path.read_bytes() for path in (drawn.iterdir() if kind == "bones" else [drawn])]
    assert (out / "foot_overlay.png").exists() and not (out / "hand_overlay.png").exists()
    report = json.loads((out / "segment.json").read_text())
    assert report[0] == before  # the result that it describes is still there
    drawn.rename(tmp_path / drawn.name)
    assert not any(entry["error"] for entry in segmented(engine, out, hand, foot, **words))


@pytest.mark.parametrize("kind", DOCUMENTS)
def test_a_corrected_document_is_not_replaced(kind: str, engine: Engine, tmp_path: Path) -> None:
    """Not for a new film either: programs add to documents what boneseg does not write."""
    hand, foot = film(tmp_path / "hand.png"), film(tmp_path / "foot.png")
    out, path = tmp_path / "out", tmp_path / "out" / FORMATS[kind].document
    segmented(engine, out, hand, formats=[kind])
    now = edited(path)
    for films in ([hand], [foot]):
        with pytest.raises(UsageError, match="was changed since boneseg wrote it"):
            segment_files(films, out, engine, formats=[kind])
    assert path.read_bytes() == now


@pytest.mark.parametrize("kind", DOCUMENTS)
def test_a_document_without_a_film_is_replaced(kind: str, engine: Engine, tmp_path: Path) -> None:
    bad, out = tmp_path / "bad.png", tmp_path / "out"
    bad.write_text("no film")
    assert segmented(engine, out, bad, formats=[kind])[0]["error"]
    assert {path.name for path in out.iterdir()} == {FORMATS[kind].document, "segment.json"}
    segmented(engine, out, film(tmp_path / "hand.png"), formats=[kind])
    assert titles(out, kind) == ["hand.png"]


def test_what_is_corrected_during_a_call_is_not_replaced(engine: Engine, tmp_path: Path) -> None:
    films = [film(tmp_path / "films" / f"{number}.png", shift=number) for number in range(9)]
    out, words = tmp_path / "out", {"formats": ["mask", "coco"]}
    segmented(engine, out, *films, **words)
    now: list[bytes] = []

    def correct(_: Result) -> None:
        if not now:
            now.extend((edited(out / "8_mask.png"), edited(out / "coco.json")))

    with pytest.raises(OutputError, match=r"coco.json: was changed since boneseg wrote it"):
        segment_files(films, out, engine, **words, report=correct)
    assert [(out / "8_mask.png").read_bytes(), (out / "coco.json").read_bytes()] == now


def test_a_document_that_was_removed_is_made_anew(engine: Engine, tmp_path: Path) -> None:
    hand, foot = film(tmp_path / "hand.png"), film(tmp_path / "foot.png")
    out = tmp_path / "out"
    segmented(engine, out, hand, formats=["coco"])
    (out / "coco.json").unlink()
    segmented(engine, out, foot, formats=["coco"])
    report = segmented(engine, out, hand, formats=["coco"])
    assert [entry["error"] for entry in report] == [None, None]
    assert titles(out, "coco") == ["foot.png", "hand.png"]


def test_a_folder_that_was_copied_is_still_boneseg_s_own(engine: Engine, tmp_path: Path) -> None:
    hand, out = film(tmp_path / "films" / "hand.png"), tmp_path / "out"
    segmented(engine, out, hand, formats=["mask", "coco"])
    for path in out.iterdir():  # copied without their times
        os.utime(path, (2e9, 2e9))
    [entry] = segmented(engine, out, hand, formats=["mask", "coco"])
    assert entry["error"] is None


def without_digests(out: Path) -> None:
    """Make the report of a folder one of an earlier version."""
    report = json.loads((out / "segment.json").read_text())
    for entry in report:
        del entry["digests"]
    (out / "segment.json").write_text(json.dumps(report))


def test_a_report_without_digests_goes_by_the_times_of_files(
    engine: Engine, tmp_path: Path
) -> None:
    hand, foot, out = film(tmp_path / "hand.png"), film(tmp_path / "foot.png"), tmp_path / "out"
    segmented(engine, out, hand)
    without_digests(out)
    assert segmented(engine, out, hand)[0]["error"] is None
    without_digests(out)
    now = edited(out / "hand_mask.png")
    os.utime(out / "segment.json", (9e8, 9e8))
    for films in ([hand], [foot], [hand]):  # also when the report is younger than the mask
        results = segment_files(films, out, engine)
        assert ["was changed" in str(one.error) for one in results] == [films == [hand]]
    assert (out / "hand_mask.png").read_bytes() == now


@pytest.fixture
def killed(engine: Engine, tmp_path: Path) -> Path:
    """The results of a call that was killed before its report."""
    hand, out = film(tmp_path / "hand.png"), tmp_path / "out"
    code = (
        "import os, sys; from pathlib import Path; from boneseg.masks.output import OutputFolder; "
        "from boneseg.inference.batch import Result, segment_files; "
        "from boneseg.inference.engine import Engine; "
        "OutputFolder.close = lambda _: os.kill(os.getpid(), 9); "
        "segment_files([Path(sys.argv[1])], Path(sys.argv[2]), Engine(Path(sys.argv[3])))"
    )
    call = [sys.executable, "-c", code, hand, out, engine.bundle.path]
    assert subprocess.run(call, check=False).returncode == -signal.SIGKILL
    assert (out / "hand_mask.png").exists() and not (out / "segment.json").exists()
    return out


def test_results_of_a_killed_call_are_replaced(
    engine: Engine, tmp_path: Path, killed: Path
) -> None:
    foot = film(tmp_path / "foot.png")
    segmented(engine, killed, foot)  # another call before that
    report = segmented(engine, killed, tmp_path / "hand.png")
    assert [entry["error"] for entry in report] == [None, None]
    assert {path.name for path in killed.iterdir()} == {
        *("hand_mask.png", "hand_overlay.png", "foot_mask.png", "foot_overlay.png", "segment.json")
    }


def test_a_corrected_result_of_a_killed_call_is_not_replaced(
    engine: Engine, tmp_path: Path, killed: Path
) -> None:
    now = edited(killed / "hand_mask.png")
    for _ in range(2):
        [result] = segment_files([tmp_path / "hand.png"], killed, engine)
        assert "was changed since boneseg wrote it" in str(result.error)
    assert (killed / "hand_mask.png").read_bytes() == now


def test_a_call_that_is_interrupted_twice_can_be_made_again(
    engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    films = [film(tmp_path / "films" / f"{number}.png", shift=number) for number in range(9)]
    shutdown = ThreadPoolExecutor.shutdown

    def interrupted(pool: ThreadPoolExecutor, *words: Any, **more: Any) -> None:
        shutdown(pool, *words, **more)
        if more.get("cancel_futures"):
            raise KeyboardInterrupt

    def interrupt(_: Result) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(ThreadPoolExecutor, "shutdown", interrupted)
        segment_files(films, tmp_path / "out", engine, report=interrupt)
    assert [one.error for one in segment_files(films, tmp_path / "out", engine)] == [None] * 9
    assert not (tmp_path / "out" / ".segment.json.begun").exists()


def test_what_a_file_manager_leaves_is_no_correction(engine: Engine, tmp_path: Path) -> None:
    hand, out = film(tmp_path / "hand.png"), tmp_path / "out"
    [before] = segmented(engine, out, hand, formats=["mask", "bones"])
    (out / before["outputs"]["bones"] / ".DS_Store").touch()
    [entry] = segmented(engine, out, hand, formats=["mask", "bones"])
    assert entry["error"] is None


def test_a_corrected_conversion_is_not_replaced(tmp_path: Path) -> None:
    simulate(tmp_path / "data", 2, size=(64, 48))
    dataset, out = open_dataset(tmp_path / "data"), tmp_path / "out"
    first, _ = convert_dataset(dataset, out, ["labelme"])
    now = edited(out / first.outputs["labelme"])
    one, other = convert_dataset(dataset, out, ["labelme"])
    assert "was changed since boneseg wrote it" in str(one.error) and other.error is None
    assert (out / first.outputs["labelme"]).read_bytes() == now


def test_a_digest_is_of_contents_and_names(tmp_path: Path) -> None:
    for folder in ("one", "other"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "femur.png").write_bytes(b"1")
    assert digest_of(tmp_path / "one") == digest_of(tmp_path / "other")
    (tmp_path / "other" / "femur.png").rename(tmp_path / "other" / "tibia.png")
    assert digest_of(tmp_path / "one") != digest_of(tmp_path / "other")
    assert digest_of(tmp_path / "one" / "femur.png") == digest_of(tmp_path / "other" / "tibia.png")
    assert digest_of(tmp_path / "none") is None


def test_a_report_of_somebody_else_reads_no_other_files(tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "segment.json").touch()
    os.mkfifo(tmp_path / "pipe")
    os.mkfifo(out / "knee_mask.png")  # reading it would wait for ever
    names = [
        "knee_mask.png",
        "../pipe",
        str(tmp_path / "pipe"),
        "..",
        ".",
        "",
        "a\0.png",
        "/dev/zero",
    ]
    entries = [ReportEntry({"mask": name}, {}) for name in names]
    ledger = Ledger(out / "segment.json", entries)
    assert {entry.digests["mask"] for entry in entries} == {""}
    assert not ledger.is_changed("knee_mask.png")  # nobody has drawn there


NAMES = st.dictionaries(
    st.from_regex(r"[a-zäß é]{1,8}\.png", fullmatch=True), st.binary(max_size=9), max_size=5
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(written=NAMES, waiting=NAMES, torn=st.integers(0, 200))
def test_what_a_killed_call_wrote_is_known(
    written: dict[str, bytes], waiting: dict[str, bytes], torn: int, tmp_path: Path
) -> None:
    folder = Path(tempfile.mkdtemp(dir=tmp_path))
    ledger = Ledger(folder / "segment.json", [])
    ledger.begin([*written, *waiting])
    for name, content in written.items():
        (folder / name).write_bytes(content)
        ledger.note(name)
    list_ = folder / ".segment.json.begun"
    again = Ledger(folder / "segment.json", [])
    assert not any(again.is_foreign(name) or again.is_changed(name) for name in written)
    for name in written:
        (folder / name).write_bytes(b"changed by somebody")
        assert again.is_changed(name)
    whole = list_.read_bytes()
    list_.write_bytes(whole[: max(len(whole.splitlines()[0]), len(whole) - torn)])
    assert not any(Ledger(folder / "segment.json", []).is_foreign(name) for name in written)
    again.close(written)
    assert not list_.exists()


@pytest.mark.parametrize("text", ["", "{}", "[1, null]", "\xff", "[" * 100_000, '["a.png"]\n3'])
def test_a_damaged_list_of_a_killed_call_names_nothing_more(text: str, tmp_path: Path) -> None:
    (tmp_path / ".segment.json.begun").write_text(text, encoding="latin-1")
    for name in ("a.png", "b.png"):
        (tmp_path / name).touch()
    ledger = Ledger(tmp_path / "segment.json", [])
    assert ledger.is_foreign("a.png") is ("a.png" not in text) and ledger.is_foreign("b.png")
    assert not ledger.is_changed("a.png")
