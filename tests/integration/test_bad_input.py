"""Bad input: one line that names it, the exit status of the contract, and nothing half-written."""

from __future__ import annotations

import json
import os
import shutil
import struct
import subprocess
import sys
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from boneseg.errors import MaskError
from boneseg.inference.engine import Engine
from boneseg.inference.finding import Finding
from boneseg.masks.read import read_mask
from boneseg.radiograph.film import Radiograph
from tests.support import films
from tests.support.bad_input import (
    GOOD,
    SIDE,
    SMALL,
    Answer,
    Call,
    everything,
    grey,
    without_progress,
)


def boneseg_alone(*words: object) -> Answer:
    """The same in a process of its own, where warnings and C libraries print, too."""
    call = [sys.executable, "-c", "from boneseg.cli import main; main()", *map(str, words)]
    done = subprocess.run(call, capture_output=True, text=True, check=False)
    return Answer(done.returncode, done.stdout, without_progress(done.stderr))


# ---------------------------------------------------------------- the bad things


def bomb(path: Path) -> None:
    """A whole PNG of 30,000 x 30,000 pixels in a few hundred kilobytes."""
    header = struct.pack(">IIBBBBB", 30_000, 30_000, 1, 0, 0, 0, 0)
    rows = zlib.compress(bytes(30_000 * (1 + 30_000 // 8)), 1)
    chunks = ((b"IHDR", header), (b"IDAT", rows), (b"IEND", b""))
    with path.open("wb") as file:
        file.write(b"\x89PNG\r\n\x1a\n")
        for kind, data in chunks:
            file.write(struct.pack(">I", len(data)) + kind + data)
            file.write(struct.pack(">I", zlib.crc32(kind + data)))


def endless(path: Path) -> None:
    """A whole PNG with zeros behind it, which take no place on the disk."""
    grey(path, SIDE, SIDE)
    os.truncate(path, 2**30 + 1)


def truncated(path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (SIDE, SIDE), np.uint8)
    Image.fromarray(noise).save(path)
    path.write_bytes(path.read_bytes()[:2000])


def photograph(path: Path) -> None:
    rows, columns = np.mgrid[:SIDE, :SIDE] / SIDE
    colours = np.stack((rows, columns, (rows * 7 + columns * 3) % 1), axis=-1)
    Image.fromarray((colours * 255).astype(np.uint8)).save(path)


def grey_mask(path: Path, height: int, width: int) -> None:
    mask = films.bone(height, width, top=255) > 128
    Image.fromarray(mask.astype(np.uint8) * np.uint8(255)).save(path)


def ct_slice(path: Path) -> None:
    films.dicom(path, films.bone(SIDE, SIDE), Modality="CT")


BAD_FILMS: dict[str, tuple[Callable[[Path], object], str]] = {
    "empty.png": (Path.touch, "is empty (0 bytes)"),
    "cut.png": (truncated, "is damaged or truncated"),
    "notes.png": (lambda path: path.write_text("not a picture"), "is not a readable image"),
    "bomb.png": (bomb, "million"),
    "endless.png": (endless, "over the limit of 1024 MiB"),
    "no_pixels.dcm": (
        lambda path: films.dicom(
            path, films.bone(SIDE, SIDE), PixelData=None, PresentationLUTShape="IDENTITY"
        ),
        "without an image",
    ),
    "huge.dcm": (
        lambda path: films.dicom(path, films.bone(SIDE, SIDE), Rows=30_000, Columns=30_000),
        "million",
    ),
    "ct_1.dcm": (ct_slice, "CT"),
    "ct_2.dcm": (ct_slice, "CT"),
    "ct_3.dcm": (ct_slice, "CT"),
    "photograph.png": (photograph, "colour photograph"),
    "tiny.png": (lambda path: grey(path, 3, 3), "too small"),
    "sliver.png": (lambda path: grey(path, 300, 3), "too small"),
}


BAD_MASKS: dict[str, tuple[Callable[[Path], object], str]] = {
    "empty": (Path.touch, "cannot be read"),
    "cut": (truncated, "cannot be read"),
    "notes": (lambda path: path.write_text("not a picture"), "cannot be read"),
    "bomb": (bomb, "pixels"),
    "photograph": (photograph, "unclear which is bone"),
    "larger": (lambda path: grey_mask(path, SIDE + 8, SIDE), "72 x 64"),
}


@pytest.fixture(scope="module")
def bad_films(data: Path, workplace: Path) -> Path:
    """A dataset of two good films and every bad one, each with a good mask."""
    root = workplace / "bad_films"
    for kind in ("images", "masks"):
        (root / kind).mkdir(parents=True)
        for name in GOOD:
            shutil.copy(data / kind / f"{name}.png", root / kind)
    for name, (make, _) in BAD_FILMS.items():
        make(root / "images" / name)
        grey_mask(root / "masks" / f"{Path(name).stem}.png", SIDE, SIDE)
    return root


@pytest.fixture(scope="module")
def bad_masks(data: Path, workplace: Path) -> Path:
    """A dataset of good films, two with good masks, the others with every bad one."""
    root = workplace / "bad_masks"
    for kind in ("images", "masks"):
        (root / kind).mkdir(parents=True)
        for name in GOOD:
            shutil.copy(data / kind / f"{name}.png", root / kind)
    for name, (make, _) in BAD_MASKS.items():
        grey(root / "images" / f"{name}.png", SIDE, SIDE)
        make(root / "masks" / f"{name}.png")
    return root


# ---------------------------------------------------------------- bad films


@pytest.fixture(scope="module")
def segmented(bad_films: Path, bundle: Path, workplace: Path) -> tuple[Answer, Path]:
    """All bad films and the good ones beside them, in one call."""
    out = workplace / "segmented"
    return boneseg_alone("segment", bad_films / "images", "--out", out, "--model", bundle), out


@pytest.mark.parametrize("name", BAD_FILMS)
def test_segment_reports_a_bad_film_in_one_line(name: str, segmented: tuple[Answer, Path]) -> None:
    answer, _ = segmented
    (line,) = [line for line in answer.lines if name in line]
    assert line.startswith("error: ")
    assert BAD_FILMS[name][1] in line


def test_segment_does_the_good_films_beside_the_bad(segmented: tuple[Answer, Path]) -> None:
    answer, out = segmented
    assert answer.status == 1
    assert len(answer.lines) == len(BAD_FILMS), answer.lines
    written = [f"{name}_{kind}.png" for name in GOOD for kind in ("mask", "overlay")]
    assert [path.name for path in everything(out)] == [*written, "segment.json"]
    results = json.loads((out / "segment.json").read_text())
    said = {f"error: {result['error']}" for result in results if result["error"]}
    assert said == set(answer.lines)


def test_check_names_every_bad_film_once(bad_films: Path) -> None:
    answer = boneseg_alone("check", bad_films)
    assert answer.status == 1
    assert answer.lines == []  # its findings are its result, on stdout
    for name, (_, hint) in BAD_FILMS.items():
        (line,) = [line for line in answer.out.splitlines() if f"/{name}" in line]
        assert line.startswith("error: unreadable film")
        assert hint in line
    assert not any(name in answer.out for name in GOOD)


@pytest.mark.parametrize("option", ["--model", "--masks"])
def test_evaluate_scores_the_good_films_beside_the_bad(
    option: str, bad_films: Path, bundle: Path, boneseg: Call
) -> None:
    judged = bundle if option == "--model" else bad_films / "masks"
    answer = boneseg("evaluate", bad_films, option, judged, "--json")
    assert answer.status == 1
    assert [case["name"] for case in json.loads(answer.out)["cases"]] == list(GOOD)
    assert len(answer.lines) == len(BAD_FILMS)
    for name, (_, hint) in BAD_FILMS.items():
        (line,) = [line for line in answer.lines if f"/{name}" in line]
        assert line.startswith("error: ")
        assert hint in line


@pytest.mark.parametrize("name", BAD_FILMS)
def test_train_names_the_film_that_it_cannot_read(
    name: str, data: Path, bad_films: Path, tmp_path: Path, boneseg: Call
) -> None:
    spoiled = shutil.copytree(data, tmp_path / "data")
    for kind, file in (("images", name), ("masks", f"{Path(name).stem}.png")):
        (spoiled / kind / file).symlink_to(bad_films / kind / file)
    answer = boneseg("train", spoiled, "--out", tmp_path / "run", *SMALL)
    assert answer.status == 1
    (line,) = answer.lines
    assert f"/{name}" in line
    assert BAD_FILMS[name][1] in line
    assert not (tmp_path / "run").exists()


def test_a_film_too_large_for_the_memory_does_not_stop_the_rest(
    data: Path, bundle: Path, tmp_path: Path, boneseg: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    from boneseg.inference.engine import Engine

    real = Engine.find

    def short_of_memory(engine: Engine, film: Radiograph) -> Finding:
        if film.source.stem == GOOD[0]:
            raise MemoryError
        return real(engine, film)

    monkeypatch.setattr(Engine, "find", short_of_memory)
    two = [data / "images" / f"{name}.png" for name in GOOD]
    answer = boneseg("segment", *two, "--out", tmp_path, "--model", bundle, "--format", "mask")
    assert answer.status == 1
    (line,) = answer.lines
    assert GOOD[0] in line
    assert "memory" in line
    assert [path.name for path in everything(tmp_path)] == [f"{GOOD[1]}_mask.png", "segment.json"]


# ---------------------------------------------------------------- results among films


@pytest.mark.parametrize("given", ["the folder", "the film alone"])
def test_a_mask_beside_its_film_is_never_replaced(
    given: str, data: Path, bundle: Path, tmp_path: Path, boneseg: Call
) -> None:
    film = Path(shutil.copy(data / "images" / f"{GOOD[0]}.png", tmp_path / "knee.png"))
    drawn = Path(shutil.copy(data / "masks" / f"{GOOD[0]}.png", tmp_path / "knee_mask.png"))
    before = drawn.read_bytes()
    films_given = tmp_path if given == "the folder" else film
    answer = boneseg("segment", films_given, "--out", tmp_path, "--model", bundle)
    assert answer.status == 2
    (line,) = answer.lines
    assert "knee_mask.png" in line
    assert (
        "would be replaced, and segment.json does not list it; move it, or choose another" in line
    )
    assert everything(tmp_path) == [film, drawn]
    assert drawn.read_bytes() == before


def test_results_below_the_films_are_replaced_by_a_second_call_and_are_no_films(
    data: Path, bundle: Path, tmp_path: Path, boneseg: Call
) -> None:
    shutil.copy(data / "images" / f"{GOOD[0]}.png", tmp_path / "knee.png")
    out = tmp_path / "out"
    for _ in range(2):
        answer = boneseg("segment", tmp_path, "--out", out, "--model", bundle)
        assert (answer.status, answer.lines) == (0, [])
        names = [path.name for path in everything(out)]
        assert names == ["knee_mask.png", "knee_overlay.png", "segment.json"]


# ---------------------------------------------------------------- bad masks


def test_check_names_every_bad_mask_once(bad_masks: Path) -> None:
    answer = boneseg_alone("check", bad_masks)
    assert answer.status == 1
    assert answer.lines == []
    for name, (_, hint) in BAD_MASKS.items():
        (line,) = [line for line in answer.out.splitlines() if f"/{name}.png" in line]
        assert line.startswith("error: ")
        assert hint in line


@pytest.mark.parametrize("option", ["--model", "--masks"])
def test_evaluate_names_every_bad_mask_once(
    option: str, bad_masks: Path, bundle: Path, boneseg: Call
) -> None:
    judged = bundle if option == "--model" else bad_masks / "masks"
    answer = boneseg("evaluate", bad_masks, option, judged, "--json")
    assert answer.status == 1
    for name, (_, hint) in BAD_MASKS.items():
        (line,) = [line for line in answer.lines if f"/{name}.png" in line]
        assert hint in line


@pytest.mark.parametrize("name", BAD_MASKS)
def test_train_names_the_mask_that_it_cannot_read(
    name: str, data: Path, bad_masks: Path, tmp_path: Path, boneseg: Call
) -> None:
    spoiled = shutil.copytree(data, tmp_path / "data")
    for kind in ("images", "masks"):
        (spoiled / kind / f"{name}.png").symlink_to(bad_masks / kind / f"{name}.png")
    answer = boneseg("train", spoiled, "--out", tmp_path / "run", *SMALL)
    assert answer.status == 1
    (line,) = answer.lines
    assert f"/masks/{name}.png" in line
    assert BAD_MASKS[name][1] in line
    assert not (tmp_path / "run").exists()


def test_a_mask_too_large_for_the_memory_is_named(
    data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def short_of_memory(image: Image.Image) -> None:
        raise MemoryError

    monkeypatch.setattr("PIL.ImageFile.ImageFile.load", short_of_memory)
    with pytest.raises(MaskError, match=r"phantom_000000\.png: there is not enough memory"):
        read_mask(data / "masks" / f"{GOOD[0]}.png")


def test_masks_without_any_bone_are_refused(data: Path, tmp_path: Path, boneseg: Call) -> None:
    blank = shutil.copytree(data, tmp_path / "data")
    for mask in (blank / "masks").iterdir():
        Image.new("L", (SIDE, SIDE)).save(mask)
    checked = boneseg("check", blank)
    assert checked.status == 1
    assert checked.out.count("error: empty mask") == 12
    trained = boneseg("train", blank, "--out", tmp_path / "run", *SMALL)
    assert trained.status == 1
    (line,) = trained.lines
    assert "no mask contains bone" in line
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("folder", ["no masks/", "an empty masks/", "masks of other names"])
@pytest.mark.parametrize("verb", ["check", "train", "evaluate"])
def test_films_without_masks_are_refused(
    verb: str, folder: str, data: Path, bundle: Path, tmp_path: Path, boneseg: Call
) -> None:
    bare = tmp_path / "bare"
    shutil.copytree(data / "images", bare / "images")
    if folder != "no masks/":
        (bare / "masks").mkdir()
    if folder == "masks of other names":
        grey_mask(bare / "masks" / "other.png", SIDE, SIDE)
    before = everything(tmp_path)
    more = {"train": ["--out", tmp_path / "run"], "evaluate": ["--model", bundle], "check": []}
    answer = boneseg(verb, bare, *more[verb])
    assert answer.status == 1
    if verb == "check" and folder == "masks of other names":
        assert "error: no pairs" in answer.out
        assert answer.lines == []
    else:
        (line,) = answer.lines
        assert line.startswith("error: ")
        assert "mask" in line
    assert everything(tmp_path) == before


# ---------------------------------------------------------------- bad words

WRONG = [
    ("segment {film} --out {new} --model {bundle} --format mask,tiff", 2, "tiff"),
    ("segment {film} --out {new} --model {bundle} --format ,", 2, "--format"),
    ("segment {film} --out {new} --model {bundle} --frame 0", 2, "--frame 0"),
    ("segment {film} --out {new} --model {bundle} --frame -1", 2, "--frame -1"),
    ("segment {nowhere} --out {new} --model {bundle}", 2, "nowhere"),
    ("segment {long} --out {new} --model {bundle}", 1, "too long"),
    ("segment {hollow} --out {new} --model {bundle}", 1, "holds no radiographs"),
    ("segment {film} --out {file} --model {bundle}", 1, "choose another"),
    ("segment {film} --out {file}/below --model {bundle}", 1, "choose another"),
    ("segment {film} --out {long} --model {bundle}", 1, "too long"),
    ("segment {film} --out {new} --model {nowhere}", 2, "nowhere: there is no such folder"),
    (
        "segment {film} --out {new} --model {file}",
        2,
        "plain.txt: is a file; give the folder of the model",
    ),
    ("segment {film} --out {new} --model {hollow}", 1, "is not a bundle"),
    ("segment {film} --out {new} --model {bundle}/model.onnx", 2, "model: {bundle}"),
    ("segmnet {film}", 2, "segmnet"),
    ("check {nowhere}", 2, "nowhere"),
    ("check {file}", 2, "is not a folder"),
    ("check {data} --sheet {nowhere}/sheet.png", 1, "sheet.png"),
    ("evaluate {data}", 2, "either --model BUNDLE or --masks DIR"),
    ("evaluate {data} --model {bundle} --masks {data}/masks", 2, "or --truth"),
    ("evaluate {data} --masks {nowhere}", 2, "nowhere"),
    ("evaluate {data} --masks {file}", 2, "plain.txt"),
    ("evaluate {data} --model {nowhere}", 2, "nowhere: there is no such folder"),
    ("evaluate {data} --masks {data}/masks --out {nowhere}/cases.csv", 1, "cases.csv"),
    ("train {nowhere} --out {new}", 2, "nowhere"),
    ("train {data} --out {new} --recipe {nowhere}", 2, "no recipe"),
    ("train {data} --out {new} --recipe {file}", 2, "not TOML"),
    ("train {data} --out {new} --set network.widht=8", 2, "did you mean 'network.width'"),
    ("train {data} --out {new} --set network.width=wide", 2, "network.width"),
    ("train {data} --out {new} --set network.width", 2, "section.key=value"),
    ("train {nowhere} --out {new} --epochs 0", 2, "epochs"),
    ("train {nowhere} --out {new} --epochs -1", 2, "epochs"),
    ("train {nowhere} --out {new} --epochs many", 2, "epochs"),
    ("train {nowhere} --out {new} --minutes 0", 2, "minutes"),
    ("train {nowhere} --out {new} --minutes -1", 2, "give --minutes or --epochs above 0"),
    ("train {nowhere} --out {new} --minutes nan", 2, "minutes"),
    ("train {nowhere} --out {new} --minutes inf", 2, "minutes"),
    ("train {data} --out {new} --init {nowhere}", 2, "nowhere: there is no such folder"),
    ("train {data} --out {file} {small}", 1, "plain.txt"),
    ("train {data} --out {file}/below {small}", 1, "below"),
    ("train {data} --out {long} {small}", 1, "too long"),
    ("simulate --out {new} --count 0", 2, "count"),
    ("simulate --out {new} --count -1", 2, "count"),
    ("simulate --out {new} --count 1 --size 3", 2, "too small"),
    ("simulate --out {new} --count 1 --size 100000", 2, "too large"),
    ("simulate --out {new} --count 1 --seed -1", 2, "seed is -1"),
    ("simulate --out {new} --count 1 --parallel 0", 2, "parallel is 0"),
    ("simulate --out {new} --count 1 --meshes {data}", 2, "--kind skeleton"),
    ("simulate --out {new} --count 1 --region hand", 2, "--kind skeleton"),
    ("simulate --out {new} --count 1 --kind skeleton --ct {file}", 2, "--kind ct"),
    ("simulate --out {new} --count 1 --kind cat", 2, "cat"),
    ("simulate --out {file} --count 1", 1, "plain.txt"),
    ("recipes defualt", 2, "default"),
    ("demo --out {new} --minutes 0", 2, "minutes"),
    ("demo --out {file}", 2, "plain.txt"),
]


@pytest.mark.parametrize(("words", "status", "hint"), WRONG)
def test_a_wrong_call_ends_in_one_line_and_leaves_nothing(
    words: str, status: int, hint: str, data: Path, bundle: Path, tmp_path: Path, boneseg: Call
) -> None:
    places = {name: tmp_path / name for name in ("new", "nowhere", "hollow")}
    places |= {"data": data, "bundle": bundle, "film": data / "images" / f"{GOOD[0]}.png"}
    places |= {"file": tmp_path / "plain.txt", "long": tmp_path / ("x" * 300)}
    places["hollow"].mkdir()
    places["file"].write_text("words\n")
    before = everything(tmp_path)
    call = [word.format_map(places) for word in words.replace(" {small}", "").split()]
    answer = boneseg(*call, *(SMALL if "{small}" in words else []))
    assert answer.status == status, answer.lines
    (line,) = answer.lines
    assert line.startswith("error: ")
    assert hint.format_map(places) in line
    assert everything(tmp_path) == before
    assert places["file"].read_text() == "words\n"
