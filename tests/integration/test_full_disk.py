"""A full disk: one line, and no half-written file."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from boneseg.bundle.store import load_bundle, load_network, save_bundle
from boneseg.errors import OutputError
from boneseg.inference.batch import segment_files
from boneseg.inference.engine import Engine
from boneseg.inference.finding import Finding
from boneseg.preprocessing import Floats
from tests.support.bad_input import GOOD, SMALL, Call, everything

PAGE = 4096  # tmpfs gives workplace by the page


def unfinished(folder: Path) -> list[Path]:
    """Temporary files: hidden, or with the ending of one."""
    return [p for p in everything(folder) if p.name[0] == "." or p.suffix in (".new", ".part")]


# ---------------------------------------------------------------- bad disks


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of two megabytes."""
    place = tmp_path / "disk"
    place.mkdir()
    call = ["mount", "-t", "tmpfs", "-o", "size=2m", "boneseg-test", str(place)]
    if os.name != "posix" or os.geteuid() != 0 or shutil.which("mount") is None:
        pytest.skip("needs root, to mount a small disk")
    if subprocess.run(call, capture_output=True, check=False).returncode != 0:
        pytest.skip("mounting is not allowed here")
    try:
        yield place
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True)


def fill(disk: Path, leave: int = 0) -> None:
    """Use up all workplace but `leave` bytes, rounded up to pages."""
    free = os.statvfs(disk).f_bavail * PAGE - -(-leave // PAGE) * PAGE
    (disk / "ballast").write_bytes(bytes(free))


@pytest.mark.parametrize(
    ("formats", "pages", "lacking"),
    [("mask", 0, "_mask.png"), ("mask,overlay", 3, "_overlay.png"), ("mask", 3, "segment.json")],
)
def test_segment_on_a_full_disk(
    formats: str, pages: int, lacking: str, disk: Path, data: Path, bundle: Path, boneseg: Call
) -> None:
    fill(disk, leave=pages * PAGE)
    film = data / "images" / f"{GOOD[0]}.png"
    words = ["--out", disk / "out", "--model", bundle, "--format", formats]
    answer = boneseg("segment", film, *words)
    assert answer.status == 1
    (line,) = answer.lines
    assert lacking in line
    assert "No space left" in line
    kept = [".segment.json.begun", f"{GOOD[0]}_mask.png"]  # so that a later call replaces the mask
    name = {"_mask.png": [], "_overlay.png": ["segment.json"]}.get(lacking, kept)
    found = everything(disk / "out")
    assert [path.name for path in found] == name
    for path in found:  # what is there is whole
        if path.suffix == ".png":
            assert Image.open(path).load()
        elif path.suffix == ".json":
            [entry] = json.loads(path.read_text())
            assert "No space left" in entry["error"] and entry["outputs"] == {}
    (disk / "ballast").unlink()
    assert boneseg("segment", film, *words).status == 0
    assert ".segment.json.begun" not in {path.name for path in everything(disk / "out")}


def test_a_disk_that_fills_up_leaves_each_film_all_its_outputs_or_none(
    disk: Path, data: Path, bundle: Path, boneseg: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, looked_at = Engine.find, []

    def find(engine: Engine, pixels: Floats) -> Finding:
        looked_at.append(pixels)
        return real(engine, pixels)

    monkeypatch.setattr(Engine, "find", find)
    words = ["segment", data / "images", "--model", bundle, "--out"]
    assert boneseg(*words, disk / "out").status == 0
    sizes = [-(-path.stat().st_size // PAGE) * PAGE for path in everything(disk / "out")[:6]]
    shutil.rmtree(disk / "out")
    looked_at.clear()
    fill(disk, leave=sum(sizes) - PAGE)  # the third film's overlay lacks a page
    answer = boneseg(*words, disk / "out")
    assert answer.status == 1
    (line,) = answer.lines
    assert "No space left" in line
    names = {path.name for path in everything(disk / "out")}
    # one fits where the third film's files are gone by then, and the other stays until it does
    names -= {"segment.json", ".segment.json.begun"}
    masks, overlays = (
        {name.removesuffix(end) for name in names if name.endswith(end)}
        for end in ("_mask.png", "_overlay.png")
    )
    assert masks == overlays
    assert masks  # the disk had workplace for two films and a half
    assert len(names) == 2 * len(masks)
    assert len(looked_at) < 12


def test_a_disk_full_from_the_start_is_reported_for_any_number_of_films(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OutputError("no workplace")

    monkeypatch.setattr("boneseg.inference.batch.read_radiograph", full)
    films_waiting = [tmp_path / f"{number}.png" for number in range(3000)]
    with pytest.raises(OutputError, match="no workplace"):
        segment_files(films_waiting, tmp_path / "out", Engine(at_once=4))


def test_on_a_full_disk_the_results_of_an_earlier_call_stay(
    disk: Path, data: Path, bundle: Path, boneseg: Call
) -> None:
    words = ["segment", data / "images" / f"{GOOD[0]}.png", "--out", disk, "--model", bundle]
    assert boneseg(*words).status == 0
    fill(disk)
    before = {path: path.read_bytes() for path in everything(disk)}
    assert boneseg(*words).status == 1
    assert {path: path.read_bytes() for path in everything(disk)} == before


def test_train_on_a_full_disk(disk: Path, data: Path, boneseg: Call) -> None:
    fill(disk)
    answer = boneseg("train", data, "--out", disk / "run", "--recipe", "fast", *SMALL)
    assert answer.status == 1
    (line,) = answer.lines
    assert "checkpoint.safetensors" in line
    assert "No space left" in line
    assert [path.name for path in everything(disk)] == ["ballast"]


def test_a_history_on_a_full_disk(disk: Path) -> None:
    from boneseg.training.history import Check, write_history

    fill(disk)
    with pytest.raises(OutputError, match=r"history.csv.*No space left"):
        write_history([Check(0, 1.0, 1, 1.0, 1.0, 1e-3, 0.5, 0.5)], disk / "history.csv")
    assert [path.name for path in everything(disk)] == ["ballast"]


def test_a_bundle_is_not_built_in_the_folder_of_another_process(
    bundle: Path, tmp_path: Path
) -> None:
    others = tmp_path / ".bundle.new"
    others.mkdir()
    (others / "model.onnx").write_text("half of it")
    found = load_bundle(bundle)
    save_bundle(tmp_path / "bundle", load_network(found), found.card)
    assert (others / "model.onnx").read_text() == "half of it"
    assert sorted(path.name for path in tmp_path.iterdir()) == [".bundle.new", "bundle"]


@pytest.mark.parametrize("room_for", ["nothing", "the weights"])
def test_a_bundle_on_a_full_disk(room_for: str, disk: Path, bundle: Path) -> None:
    loaded = load_bundle(bundle)
    weights = (bundle / "weights.safetensors").stat().st_size
    fill(disk, leave=0 if room_for == "nothing" else weights)
    with pytest.raises(OutputError, match="No space left"):
        save_bundle(disk / "bundle", load_network(loaded), loaded.card)
    assert [path.name for path in everything(disk)] == ["ballast"]


@pytest.mark.parametrize(
    "words",
    [
        "evaluate {data} --masks {data}/masks --out {disk}/cases.csv",
        "check {data} --sheet {disk}/sheet.png",
        "simulate --out {disk}/films --count 1 --size 64",
        "tune {data} --out {disk}/search --epochs 1 --trials 1",
    ],
)
def test_other_verbs_on_a_full_disk(words: str, disk: Path, data: Path, boneseg: Call) -> None:
    fill(disk)
    answer = boneseg(*words.format(data=data, disk=disk).split())
    assert answer.status == 1
    (line,) = answer.lines
    assert "No space left" in line or "tune.db: cannot be read or written (database" in line
    assert unfinished(disk) == []


@pytest.mark.parametrize(
    "words",
    [
        "segment {film} --out {disk}/out --model {bundle}",
        "segment {film} --out {disk} --model {bundle}",
        "train {data} --out {disk}/run {small}",
        "train {data} --out {disk} {small}",
        "simulate --out {disk}/films --count 1 --size 64",
    ],
)
def test_a_disk_that_can_only_be_read(
    words: str, disk: Path, data: Path, bundle: Path, boneseg: Call
) -> None:
    subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
    film = data / "images" / f"{GOOD[0]}.png"
    call = words.replace(" {small}", "").format(film=film, data=data, disk=disk, bundle=bundle)
    answer = boneseg(*call.split(), *(SMALL if "{small}" in words else []))
    assert answer.status == 1
    (line,) = answer.lines
    assert "Read-only" in line
    assert everything(disk) == []
