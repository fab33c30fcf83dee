"""What somebody has drawn or corrected among the results is not replaced."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from boneseg.dataset.convert import convert_dataset
from boneseg.dataset.open import open_dataset
from boneseg.inference.batch import segment_files
from boneseg.inference.engine import Engine
from boneseg.masks.formats import FORMATS
from boneseg.masks.ledger import Begun, digest_of
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
def test_a_corrected_document_keeps_its_films_and_takes_new_ones(
    kind: str, engine: Engine, tmp_path: Path
) -> None:
    hand, foot = film(tmp_path / "hand.png"), film(tmp_path / "foot.png")
    out, path = tmp_path / "out", tmp_path / "out" / FORMATS[kind].document
    segmented(engine, out, hand, formats=[kind])
    edited(path)
    for _ in range(2):  # the call with new films does not make the change boneseg's own
        one, other = segment_files([hand, foot], out, engine, formats=[kind])
        assert "was changed since boneseg wrote it" in str(one.error)
        assert other.error is None
        assert titles(out, kind) == ["hand.png", "foot.png"]


def test_a_folder_that_was_copied_is_still_boneseg_s_own(engine: Engine, tmp_path: Path) -> None:
    hand, out = film(tmp_path / "films" / "hand.png"), tmp_path / "out"
    segmented(engine, out, hand, formats=["mask", "coco"])
    for path in out.iterdir():  # copied without their times
        os.utime(path, (2e9, 2e9))
    [entry] = segmented(engine, out, hand, formats=["mask", "coco"])
    assert entry["error"] is None


def test_a_report_without_digests_goes_by_the_times_of_files(
    engine: Engine, tmp_path: Path
) -> None:
    hand, out = film(tmp_path / "hand.png"), tmp_path / "out"
    [entry] = segmented(engine, out, hand)
    del entry["digests"]
    (out / "segment.json").write_text(json.dumps([entry]))
    [entry] = segmented(engine, out, hand)
    assert entry["error"] is None
    del entry["digests"]
    (out / "segment.json").write_text(json.dumps([entry]))
    os.utime(out / "hand_mask.png", (2e9, 2e9))
    [result] = segment_files([hand], out, engine)
    assert "was changed since boneseg wrote it" in str(result.error)


def test_results_of_a_killed_call_are_replaced(engine: Engine, tmp_path: Path) -> None:
    hand, out = film(tmp_path / "hand.png"), tmp_path / "out"
    code = (
        "import os, sys; from pathlib import Path; from boneseg.inference import batch; "
        "from boneseg.inference.engine import Engine; write = batch.write_outputs; "
        "batch.write_outputs = lambda *words: (write(*words), os.kill(os.getpid(), 9)); "
        "batch.segment_files([Path(sys.argv[1])], Path(sys.argv[2]), Engine(Path(sys.argv[3])))"
    )
    call = [sys.executable, "-c", code, hand, out, engine.bundle.path]
    assert subprocess.run(call, check=False).returncode == -signal.SIGKILL
    assert (out / "hand_mask.png").exists() and not (out / "segment.json").exists()
    [entry] = segmented(engine, out, hand)
    assert entry["error"] is None
    assert {path.name for path in out.iterdir()} == {
        *("hand_mask.png", "hand_overlay.png", "segment.json")
    }


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


@pytest.mark.parametrize("text", ["", "{}", "[1, null]", "\xff", "[" * 100_000])
def test_a_damaged_list_of_a_killed_call_names_nothing(text: str, tmp_path: Path) -> None:
    begun = Begun(tmp_path / "segment.json")
    begun.write({"knee_mask.png", "hüfte_mask.png"})
    assert Begun(tmp_path / "segment.json").earlier == {"knee_mask.png", "hüfte_mask.png"}
    (tmp_path / ".segment.json.begun").write_text(text, encoding="latin-1")
    assert Begun(tmp_path / "segment.json").earlier == frozenset()
    begun.remove()
    assert list(tmp_path.iterdir()) == []
