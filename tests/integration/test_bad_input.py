"""Bad input: one line that names it, the exit status of the contract, and nothing half-written."""

from __future__ import annotations

import json
import os
import shutil
import struct
import subprocess
import sys
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from boneseg.bundle.store import Bundle, load_bundle, load_network, save_bundle
from boneseg.cli import main
from boneseg.dataset.open import open_dataset
from boneseg.errors import BundleError, MaskError, OutputError
from boneseg.inference.batch import segment_files
from boneseg.inference.engine import Engine
from boneseg.inference.finding import Finding
from boneseg.masks.read import read_mask
from boneseg.preprocessing import Floats
from boneseg.radiograph.film import Radiograph
from boneseg.recipes.builtin import load_recipe
from boneseg.simulate import simulate
from tests.support import films
from tests.support.readings import card

SIDE = 64
SETTINGS = (
    *("prepare.height=64", "prepare.width=64", "network.width=4", "network.levels=3"),
    *("run.epochs=2", "run.precision=fp32"),
)
SMALL = [word for setting in SETTINGS for word in ("--set", setting)]
GOOD = ("phantom_000000", "phantom_000001")
PAGE = 4096  # tmpfs gives room by the page


@dataclass(frozen=True)
class Answer:
    """What a call gave: its status, what it printed, and stderr without the progress lines."""

    status: int
    out: str
    lines: list[str]


Call = Callable[..., Answer]


def without_progress(stderr: str) -> list[str]:
    progress = ("engine: ", "segmenting ", "train")
    return [line for line in stderr.splitlines() if not line.startswith(progress)]


@pytest.fixture
def boneseg(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Call:
    """The command line in this process."""

    def call(*words: object) -> Answer:
        monkeypatch.setattr(sys, "argv", ["boneseg", *map(str, words)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as stopped:
            main()
        printed = capsys.readouterr()
        return Answer(int(stopped.value.code or 0), printed.out, without_progress(printed.err))

    return call


def boneseg_alone(*words: object) -> Answer:
    """The same in a process of its own, where warnings and C libraries print, too."""
    call = [sys.executable, "-c", "from boneseg.cli import main; main()", *map(str, words)]
    done = subprocess.run(call, capture_output=True, text=True, check=False)
    return Answer(done.returncode, done.stdout, without_progress(done.stderr))


def everything(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*"))


def unfinished(folder: Path) -> list[Path]:
    """Temporary files: hidden, or with the ending of one."""
    return [p for p in everything(folder) if p.name[0] == "." or p.suffix in (".new", ".part")]


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


def truncated(path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (SIDE, SIDE), np.uint8)
    Image.fromarray(noise).save(path)
    path.write_bytes(path.read_bytes()[:2000])


def photograph(path: Path) -> None:
    rows, columns = np.mgrid[:SIDE, :SIDE] / SIDE
    colours = np.stack((rows, columns, (rows * 7 + columns * 3) % 1), axis=-1)
    Image.fromarray((colours * 255).astype(np.uint8)).save(path)


def grey(path: Path, height: int, width: int) -> None:
    Image.fromarray(films.bone(height, width, top=255).astype(np.uint8)).save(path)


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
    "no_pixels.dcm": (
        lambda path: films.dicom(path, films.bone(SIDE, SIDE), PixelData=None),
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


# ---------------------------------------------------------------- made once


@pytest.fixture(scope="module")
def room(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("bad_input")


@pytest.fixture(scope="module")
def data(room: Path) -> Path:
    """Twelve good films with their masks."""
    simulate(room / "data", 12, seed=0, size=(SIDE, SIDE))
    return room / "data"


@pytest.fixture(scope="module")
def bundle(room: Path) -> Path:
    """A model that has learned nothing: what it finds does not matter here."""
    from boneseg.networks import build

    small = load_recipe("fast").with_settings(SETTINGS).settle([(SIDE, SIDE)])
    facts = {"height": SIDE, "width": SIDE, "recipe": small.model_dump(mode="json")}
    blank = card(architecture=small.network, **facts)
    return save_bundle(room / "bundle", build(small.network), blank).path


@pytest.fixture(scope="module")
def bad_films(data: Path, room: Path) -> Path:
    """A dataset of two good films and every bad one, each with a good mask."""
    root = room / "bad_films"
    for kind in ("images", "masks"):
        (root / kind).mkdir(parents=True)
        for name in GOOD:
            shutil.copy(data / kind / f"{name}.png", root / kind)
    for name, (make, _) in BAD_FILMS.items():
        make(root / "images" / name)
        grey_mask(root / "masks" / f"{Path(name).stem}.png", SIDE, SIDE)
    return root


@pytest.fixture(scope="module")
def bad_masks(data: Path, room: Path) -> Path:
    """A dataset of good films, two with good masks, the others with every bad one."""
    root = room / "bad_masks"
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
def segmented(bad_films: Path, bundle: Path, room: Path) -> tuple[Answer, Path]:
    """All bad films and the good ones beside them, in one call."""
    out = room / "segmented"
    return boneseg_alone("segment", bad_films / "images", "--out", out, "--model", bundle), out


@pytest.mark.parametrize("name", BAD_FILMS)
def test_segment_answers_a_bad_film_in_one_line(name: str, segmented: tuple[Answer, Path]) -> None:
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
    assert "--out is where the films or their masks are; choose another folder" in line
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
    assert "no mask holds any bone" in line
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
    ("segment {film} --out {new} --model {nowhere}", 1, "is not a bundle"),
    ("segment {film} --out {new} --model {file}", 1, "is not a bundle"),
    ("segment {film} --out {new} --model {hollow}", 1, "is not a bundle"),
    ("segmnet {film}", 2, "segmnet"),
    ("check {nowhere}", 2, "nowhere"),
    ("check {file}", 2, "is not a folder"),
    ("check {data} --sheet {nowhere}/sheet.png", 1, "sheet.png"),
    ("evaluate {data}", 2, "either --model BUNDLE or --masks DIR"),
    ("evaluate {data} --model {bundle} --masks {data}/masks", 2, "either --model"),
    ("evaluate {data} --masks {nowhere}", 2, "nowhere"),
    ("evaluate {data} --masks {file}", 2, "plain.txt"),
    ("evaluate {data} --model {nowhere}", 1, "is not a bundle"),
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
    ("train {data} --out {new} --init {nowhere}", 1, "is not a bundle"),
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
    assert hint in line
    assert everything(tmp_path) == before
    assert places["file"].read_text() == "words\n"


# ---------------------------------------------------------------- bad bundles


@pytest.mark.parametrize("spoil", ["flipped", "missing", "cut", "empty"])
@pytest.mark.parametrize("name", ["weights.safetensors", "model.onnx", "model.json"])
@pytest.mark.parametrize("verb", ["segment", "evaluate", "train"])
def test_a_damaged_bundle_is_refused_by_name(
    verb: str, name: str, spoil: str, data: Path, bundle: Path, tmp_path: Path, boneseg: Call
) -> None:
    damaged = shutil.copytree(bundle, tmp_path / "bundle")
    whole = bytearray((bundle / name).read_bytes())
    whole[len(whole) // 2 if name != "model.json" else 0] ^= 1
    contents = {"flipped": bytes(whole), "cut": bytes(whole[:100]), "empty": b""}
    if spoil == "missing":
        (damaged / name).unlink()
    else:
        (damaged / name).write_bytes(contents[spoil])
    calls = {
        "segment": ["segment", data / "images", "--out", tmp_path / "out", "--model", damaged],
        "evaluate": ["evaluate", data, "--model", damaged],
        "train": ["train", data, "--out", tmp_path / "out", "--init", damaged],
    }
    answer = boneseg(*calls[verb])
    assert answer.status == 1
    (line,) = answer.lines
    assert name in line
    assert not (tmp_path / "out").exists()


def test_every_flipped_byte_of_a_card_is_refused(bundle: Path, tmp_path: Path) -> None:
    damaged = shutil.copytree(bundle, tmp_path / "bundle")
    card = bytearray((bundle / "model.json").read_bytes())
    for place in range(0, len(card), 3):
        for bit in (1, 128):
            card[place] ^= bit
            (damaged / "model.json").write_bytes(card)
            card[place] ^= bit
            with pytest.raises(BundleError) as caught:
                load_bundle(damaged)
            assert str(damaged) in str(caught.value)
            assert "\n" not in str(caught.value)


def test_weights_of_another_architecture_are_refused(bundle: Path) -> None:
    card = load_bundle(bundle).card
    other = card.architecture.model_copy(update={"widths": (5, 8, 16)})
    with pytest.raises(BundleError, match="do not fit"):
        load_network(Bundle(bundle, card.model_copy(update={"architecture": other})))


def test_a_model_of_another_size_than_its_card_is_refused(bundle: Path) -> None:
    card = load_bundle(bundle).card
    with pytest.raises(BundleError, match=str(bundle)):
        Engine(Bundle(bundle, card.model_copy(update={"height": SIDE + 1})))


# ---------------------------------------------------------------- resuming


@pytest.mark.parametrize("change", ["films", "recipe", "checkpoint", "no --resume"])
def test_a_run_does_not_go_on_from_what_has_changed(
    change: str, data: Path, tmp_path: Path, boneseg: Call
) -> None:
    from boneseg.training.train import train

    films_of_run = shutil.copytree(data, tmp_path / "data")
    run = tmp_path / "run"
    train(open_dataset(films_of_run), load_recipe("fast").with_settings(SETTINGS), run)
    saved = run / "checkpoint.safetensors"
    if change == "films":
        grey(films_of_run / "images" / f"{GOOD[0]}.png", SIDE, SIDE)
    if change == "checkpoint":
        saved.write_bytes(saved.read_bytes()[:-100])
    before = {path: path.read_bytes() for path in everything(run)}
    more = [] if change == "no --resume" else ["--resume"]
    more += ["--epochs", "3"] if change == "recipe" else []
    words = ["--recipe", "fast", *SMALL, *more]
    answer = boneseg("train", films_of_run, "--out", run, *words)
    assert answer.status == 1
    (line,) = answer.lines
    hints = {
        "films": f"films have changed since ({GOOD[0]})",
        "recipe": "was started with a different recipe",
    }
    assert hints.get(change, "cannot be read" if change == "checkpoint" else "--resume") in line
    assert {path: path.read_bytes() for path in everything(run)} == before


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
    """Use up all room but `leave` bytes, rounded up to pages."""
    free = os.statvfs(disk).f_bavail * PAGE - -(-leave // PAGE) * PAGE
    (disk / "ballast").write_bytes(bytes(free))


@pytest.mark.parametrize(
    ("formats", "pages", "lacking"),
    [("mask", 0, "_mask.png"), ("mask,overlay", 2, "_overlay.png"), ("mask", 2, "segment.json")],
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
    name = {"_mask.png": [], "_overlay.png": ["segment.json"]}.get(lacking, [f"{GOOD[0]}_mask.png"])
    found = everything(disk / "out")
    assert [path.name for path in found] == name
    for path in found:  # what is there is whole
        if path.suffix == ".png":
            assert Image.open(path).load()
        else:
            [entry] = json.loads(path.read_text())
            assert "No space left" in entry["error"] and entry["outputs"] == {}


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
    masks, overlays = (
        {name.removesuffix(end) for name in names if name.endswith(end)}
        for end in ("_mask.png", "_overlay.png")
    )
    assert masks == overlays
    assert masks  # the disk had room for two films and a half
    assert len(names) == 2 * len(masks)
    assert len(looked_at) < 12


def test_a_disk_that_is_full_at_once_is_told_however_many_films_wait(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OutputError("no room")

    monkeypatch.setattr("boneseg.inference.batch.read_radiograph", full)
    films_waiting = [tmp_path / f"{number}.png" for number in range(3000)]
    with pytest.raises(OutputError, match="no room"):
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
