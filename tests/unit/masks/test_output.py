"""The folder of results: what later calls keep, replace, skip, and never take for films."""

from __future__ import annotations

import csv
import json
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from boneseg._util.files import csv_cell, plain_cell
from boneseg.dataset.audit import check_dataset
from boneseg.dataset.contact_sheet import contact_sheet
from boneseg.dataset.convert import convert_dataset
from boneseg.dataset.open import open_dataset
from boneseg.errors import OutputError, RadiographError
from boneseg.evaluation.evaluate import evaluate_model
from boneseg.inference.batch import Result, segment_files
from boneseg.inference.engine import Engine
from boneseg.masks.formats import FILM_FORMATS, FORMATS
from boneseg.masks.formats.png import write_probability
from boneseg.masks.segmentation import Segmentation
from boneseg.radiograph.discovery import find_radiographs
from boneseg.radiograph.film import Radiograph
from boneseg.radiograph.read import read_radiograph
from boneseg.simulate import simulate
from tests.support.films import bone, dicom
from tests.support.results import DOCUMENTS, film, segmented, titles


def inputs(report: list[dict[str, Any]]) -> list[str]:
    return [Path(entry["input"]).name for entry in report]


# --- several calls into one folder ---


def test_a_second_call_adds_to_the_first(engine: Engine, tmp_path: Path) -> None:
    one, two, out = film(tmp_path / "a" / "one.png"), film(tmp_path / "two.png"), tmp_path / "out"
    kinds = ["mask", *DOCUMENTS]
    segmented(engine, out, one, formats=kinds)
    whole = {kind: (out / FORMATS[kind].document).read_bytes() for kind in DOCUMENTS}
    report = segmented(engine, out, two, formats=kinds)
    assert inputs(report) == ["one.png", "two.png"]
    for kind in DOCUMENTS:
        assert titles(out, kind) == ["one.png", "two.png"]
    again = segmented(engine, out, one, formats=kinds)  # replaces its own
    assert inputs(again) == ["one.png", "two.png"]
    assert sorted(path.name for path in out.glob("*_mask.png")) == ["one_mask.png", "two_mask.png"]
    for kind in DOCUMENTS:
        assert titles(out, kind) == ["one.png", "two.png"]
    for path in out.iterdir():
        path.unlink()
    segmented(engine, out, one, formats=kinds)
    assert {kind: (out / FORMATS[kind].document).read_bytes() for kind in DOCUMENTS} == whole


def test_films_of_one_name_never_share_outputs_from_call_to_call(
    engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    for number, place in enumerate(("one", "two", "one")):
        film(tmp_path / place / "knee.png", shift=10 * (number % 2))
        monkeypatch.chdir(tmp_path / place)
        report = segmented(engine, out, Path("knee.png"), formats=["mask", "coco"])
    assert [entry["outputs"]["mask"] for entry in report] == ["knee_mask.png", "knee-2_mask.png"]
    assert titles(out, "coco") == ["knee.png", "knee-2.png"]
    monkeypatch.chdir(tmp_path)
    both = segmented(engine, out, Path("two/knee.png"), Path("one/knee.png"), formats=["mask"])
    assert [entry["outputs"]["mask"] for entry in both] == ["knee_mask.png", "knee-2_mask.png"]
    moved = tmp_path / "moved"
    moved.mkdir()
    for name in ("one", "out"):
        (tmp_path / name).rename(moved / name)
    report = segmented(engine, moved / "out", moved / "one" / "knee.png", formats=["mask"])
    assert [entry["outputs"]["mask"] for entry in report] == ["knee_mask.png", "knee-2_mask.png"]


def test_a_changed_film_and_each_of_its_frames_have_separate_entries(
    engine: Engine, tmp_path: Path
) -> None:
    path, out = film(tmp_path / "knee.png"), tmp_path / "out"
    segmented(engine, out, path)
    film(path, shift=5)
    assert len(segmented(engine, out, path)) == 1
    frames = dicom(tmp_path / "run.dcm", np.stack([bone(64, 48), bone(64, 48)[::-1]]))
    for frame in (1, 2, 1):
        report = segmented(engine, out, frames, frame=frame)
    assert [entry["frame"] for entry in report] == [None, 1, 2]
    assert len({entry["outputs"]["mask"] for entry in report}) == 3


def test_outputs_in_another_format_stay_in_the_report(engine: Engine, tmp_path: Path) -> None:
    path, out = film(tmp_path / "knee.png"), tmp_path / "out"
    segmented(engine, out, path, formats=["mask", "yolo"])
    (out / "knee.txt").unlink()
    [entry] = segmented(engine, out, path, formats=["overlay"])
    assert entry["outputs"] == {"mask": "knee_mask.png", "overlay": "knee_overlay.png"}
    path.write_bytes(b"")
    [entry] = segmented(engine, out, path, formats=["overlay"])
    assert "is empty" in entry["error"]
    assert entry["outputs"] == {"mask": "knee_mask.png", "overlay": "knee_overlay.png"}


def test_a_report_of_an_older_version_is_added_to(engine: Engine, tmp_path: Path) -> None:
    path, out = film(tmp_path / "knee.png"), tmp_path / "out"
    segmented(engine, out, path)
    old = json.loads((out / "segment.json").read_text())
    others = [{"input": "x/knee.png", "outputs": {"mask": "knee-2_mask.png"}, "area_px": 1}]
    for entry in old:
        del entry["key"], entry["title"]
    (out / "segment.json").write_text(json.dumps(others + old))
    report = segmented(engine, out, film(tmp_path / "y" / "knee.png"), path)
    assert [entry["outputs"]["mask"] for entry in report] == [
        *("knee-2_mask.png", "knee_mask.png", "knee-3_mask.png")
    ]


@pytest.mark.parametrize("name", ["segment.json", *(FORMATS[kind].document for kind in DOCUMENTS)])
@pytest.mark.parametrize("text", ["mine", "[1]", '{"a": 1}', "[" * 100_000])
def test_a_file_of_another_kind_is_not_replaced(
    name: str, text: str, engine: Engine, tmp_path: Path
) -> None:
    path, out = film(tmp_path / "knee.png"), tmp_path / "out"
    out.mkdir()
    (out / name).write_text(text)
    with pytest.raises(OutputError, match=f"{name}: was not written by boneseg"):
        segment_files([path], out, engine, formats=["mask", *DOCUMENTS])
    assert [one.name for one in out.iterdir()] == [name]
    assert (out / name).read_text() == text


# --- formats that a film cannot have ---


def test_a_format_impossible_for_a_film_is_skipped(engine: Engine, tmp_path: Path) -> None:
    knee, hip = film(tmp_path / "knee.png"), dicom(tmp_path / "hip.dcm", bone(64, 48))
    lacking = dicom(tmp_path / "no-study.dcm", bone(64, 48))
    whole = dicom(
        tmp_path / "whole.dcm", bone(64, 48), StudyInstanceUID="1.2.3", SeriesInstanceUID="1.2.4"
    )
    kinds = ["dicom-seg", "mask", "dicom-seg-fractional", "coco"]
    report = segmented(engine, tmp_path / "out", knee, hip, lacking, whole, formats=kinds)
    for entry in report[:3]:
        assert entry["error"] is None
        assert entry["outputs"] == {"mask": entry["outputs"]["mask"], "coco": "coco.json"}
        assert list(entry["skipped"]) == ["dicom-seg-fractional", "dicom-seg"][::-1]
        assert "dicom-seg is skipped: " in entry["warning"]
        assert str(tmp_path) not in entry["warning"]  # the entry names the film
    assert set(report[3]["outputs"]) == set(kinds)
    assert report[3]["skipped"] == {}
    [alone] = segmented(engine, tmp_path / "other", knee, formats=["dicom-seg"])
    assert alone["error"].startswith(f"{knee}: is not a DICOM film")
    assert alone["outputs"] == {}


# --- results are not films ---


def test_results_of_earlier_calls_are_not_films(engine: Engine, tmp_path: Path) -> None:
    films = tmp_path / "films"
    hand, foot = film(films / "hand.png"), film(films / "deep" / "foot.png")
    ours = [foot, hand]
    kinds = ["mask", "overlay", "probability", "dicom-seg"]
    scan = dicom(films / "scan.dcm", bone(64, 48), StudyInstanceUID="1.2", SeriesInstanceUID="1.3")
    ours.append(scan)
    for out in (films / "run1", films / "deep" / "er" / "run2", films):
        segmented(engine, out, *ours, formats=kinds)
        assert find_radiographs([films]) == ours
    (films / "run1").rename(films / "renamed")
    shutil.copy(films / "renamed" / "hand_mask.png", films / "copied.png")  # by its own mark
    shutil.copy(films / "renamed" / "scan.seg.dcm", films / "copied.dcm")
    assert find_radiographs([films]) == ours
    with pytest.raises(RadiographError, match="holds no radiographs"):
        find_radiographs([films / "renamed"])
    assert find_radiographs([films / "copied.png"]) == [films / "copied.png"]  # asked for
    segmented(engine, films, *ours, formats=kinds)  # replaces its own outputs


def test_masks_without_a_mark_are_known_by_the_report(engine: Engine, tmp_path: Path) -> None:
    hand = film(tmp_path / "hand.png")
    for name in ("hand_mask.png", "hand_overlay.png"):
        film(tmp_path / "run" / name)
    outputs = {"mask": "hand_mask.png", "overlay": "hand_overlay.png"}
    (tmp_path / "run" / "segment.json").write_text(json.dumps([{"outputs": outputs}]))
    assert find_radiographs([tmp_path]) == [hand]
    (tmp_path / "run" / "segment.json").write_text("damaged")
    assert len(find_radiographs([tmp_path])) == 3


def test_outputs_of_boneseg_are_not_films_but_simulated_films_are(tmp_path: Path) -> None:
    simulate(tmp_path / "data", 3, size=(64, 48))
    films = sorted((tmp_path / "data" / "images").iterdir())
    dataset = open_dataset(tmp_path / "data")
    convert_dataset(dataset, tmp_path / "data" / "images" / "converted", ["mask", "overlay"])
    convert_dataset(dataset, tmp_path / "data" / "images" / "converted", ["mask"])
    report = json.loads((tmp_path / "data" / "images" / "converted" / "convert.json").read_text())
    assert len(report) == 3 and all(len(entry["outputs"]) == 2 for entry in report)
    contact_sheet(dataset, tmp_path / "data" / "images" / "sheet.png")
    folder = tmp_path / "data" / "out_of_fold"
    folder.mkdir()
    write_probability(folder / "knee.png", np.zeros((64, 48), np.float32))
    assert find_radiographs([tmp_path / "data"]) == films
    assert open_dataset(tmp_path / "data").unpaired_images == ()


# --- the rest of the batch continues ---


def test_an_error_of_a_library_affects_only_its_film(
    engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def read(path: Path, **words: Any) -> Radiograph:
        if "bad" in path.name:
            raise LookupError("Zaphod^Beeblebrox")
        return read_radiograph(path, **words)

    def write(path: Path, found: Segmentation) -> None:
        if "worse" in path.name:
            raise RuntimeError("Zaphod^Beeblebrox")
        path.write_text("written")

    monkeypatch.setattr("boneseg.inference.batch.read_radiograph", read)
    monkeypatch.setitem(FILM_FORMATS, "yolo", replace(FILM_FORMATS["yolo"], write=write))
    films = [film(tmp_path / f"{name}.png") for name in ("a", "bad", "worse", "z")]
    told: list[Result] = []
    segment_files(films, tmp_path / "out", engine, formats=["mask", "yolo"], report=told.append)
    assert [result.error is None for result in told] == [True, False, False, True]
    assert str(told[1].error).startswith(f"{films[1]}: unexpected error (")
    assert "(LookupError in test_output.py:" in str(told[1].error)
    assert "RuntimeError" in str(told[2].error) and "report it" in str(told[2].error)
    text = (tmp_path / "out" / "segment.json").read_text()
    assert "Zaphod" not in text and len(json.loads(text)) == 4
    names = {"a.txt", "a_mask.png", "segment.json", "z.txt", "z_mask.png"}
    assert {path.name for path in (tmp_path / "out").iterdir()} == names


def test_an_error_of_a_library_affects_only_its_case(
    engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    simulate(tmp_path, 3, size=(64, 48))

    def read(path: Path, **words: Any) -> Radiograph:
        if "000001" in path.name:
            raise LookupError("Zaphod^Beeblebrox")
        return read_radiograph(path, **words)

    for module in ("evaluation.evaluate", "dataset.convert", "dataset.audit"):
        monkeypatch.setattr(f"boneseg.{module}.read_radiograph", read)
    dataset = open_dataset(tmp_path)
    found = evaluate_model(dataset, engine.segment)
    assert [case.name for case in found.summary.cases] == ["phantom_000000", "phantom_000002"]
    said = [failure.reason for failure in found.failures]
    said += [one.error for one in convert_dataset(dataset, tmp_path / "x", ["mask"]) if one.error]
    said += [problem.detail for problem in check_dataset(dataset).problems if problem.serious]
    assert len(said) == 3
    for line in said:
        assert "phantom_000001" in line and "LookupError in test_output.py" in line
        assert "Zaphod" not in line


def many(tmp_path: Path) -> Path:
    """A folder of films, and a bad one first."""
    for number in range(30):
        film(tmp_path / "films" / f"{number:02}.png", shift=number)
    (tmp_path / "films" / "00.png").write_bytes(b"")
    return tmp_path / "films"


COMMAND = f"{sys.executable} -m boneseg"


@pytest.mark.parametrize("ending", ["2>&1 | head -1", ">&- 2>&-", "--json | head -1"])
def test_the_report_is_written_even_if_output_is_closed(ending: str, tmp_path: Path) -> None:
    films = many(tmp_path)
    call = f"{COMMAND} segment {films} --out {tmp_path / 'out'} --format mask {ending}"
    done = subprocess.run(["bash", "-c", call], capture_output=True, text=True, check=False)
    assert len(json.loads((tmp_path / "out" / "segment.json").read_text())) == 30
    assert len(list((tmp_path / "out").glob("*_mask.png"))) == 29
    assert "Traceback" not in done.stderr and "Exception ignored" not in done.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_call_leaves_a_report_of_finished_films(
    number: signal.Signals, tmp_path: Path
) -> None:
    films, out = many(tmp_path), tmp_path / "out"
    call = [*COMMAND.split(), "segment", str(films), "--out", str(out), "--format", "mask"]
    with subprocess.Popen(call, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if line.startswith("segmenting"):
                break
        process.send_signal(number)
        said = process.stderr.read()
    assert process.returncode == 130
    assert said.endswith("stopped\n") and "Traceback" not in said
    report = json.loads((out / "segment.json").read_text())
    masks = {entry["outputs"]["mask"] for entry in report if not entry["error"]}
    assert {path.name for path in out.iterdir()} == {"segment.json", *masks}
    assert 1 <= len(report) < 30


def test_calls_at_once_into_one_folder_lose_nothing(tmp_path: Path) -> None:
    films = [film(tmp_path / f"{name}.png") for name in ("one", "two")]
    calls = [
        [*COMMAND.split(), "segment", str(path), "--out", str(tmp_path / "out")] for path in films
    ]
    running = [subprocess.Popen(call, stderr=subprocess.PIPE, text=True) for call in calls]
    said = [process.communicate(timeout=120)[1] for process in running]
    report = json.loads((tmp_path / "out" / "segment.json").read_text())
    refused = [line for line in said if "another boneseg process is writing there" in line]
    assert len(report) == 2 - len(refused)
    assert sorted(process.returncode for process in running) == [0, 1 if refused else 0]


# --- cells of tables ---


@pytest.mark.parametrize(
    ("value", "cell"),
    [
        *(("=1+1", "'=1+1"), ("@SUM(A1)", "'@SUM(A1)"), ("+cmd|' /C calc'!A0", None)),
        *((" =1", "' =1"), ("\t=1", "'\t=1"), ("-knee.png", "'-knee.png"), ("＝1", "'＝1")),
        *(("-0.5", "-0.5"), ("+1e3", "+1e3"), ("knee", "knee"), ("", ""), ("a=b", "a=b")),
        *((-1.5, -1.5), (None, None), ("-inf", "'-inf"), ("'quoted", "'quoted")),
    ],
)
def test_no_cell_of_a_table_is_a_formula(value: Any, cell: Any) -> None:
    given = csv_cell(value)
    assert given == (f"'{value}" if cell is None and value is not None else cell)
    if isinstance(value, str):
        assert plain_cell(given) == value


def test_a_film_named_like_a_formula_is_measured_under_its_name(
    engine: Engine, tmp_path: Path
) -> None:
    path, out = film(tmp_path / "=1+1.png"), tmp_path / "out"
    for _ in range(2):
        segmented(engine, out, path, formats=["measurements"])
    assert set(titles(out, "measurements")) == {"'=1+1.png"}
    with (out / "measurements.csv").open() as file:
        assert len(list(csv.DictReader(file))) == 1  # the second call replaces the row
