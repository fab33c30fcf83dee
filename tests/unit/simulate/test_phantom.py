"""What the phantom radiographs promise."""

import csv
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from scipy.ndimage import binary_dilation, binary_erosion

from boneseg.errors import OutputError, UsageError
from boneseg.simulate import PARTS, Film, phantom_film, simulate
from boneseg.simulate.projector import (
    MASK_PATH_MM,
    Exposure,
    Paths,
    Tube,
    chords,
    elliptic_chord,
    expose,
    trace,
    transmit,
)


@pytest.fixture(scope="module")
def films() -> list[Film]:
    return [phantom_film(seed, (160, 160)) for seed in range(60)]


def cylinder(radius: float, rim: float, angle: float = 0.0, length: float = 200.0) -> Tube:
    inner = radius - rim
    row = [0.0, radius, radius, inner, inner, 0.0]
    return Tube((0.0, 0.0), angle, length, np.tile(np.array(row, np.float32), (64, 1)))


@given(radius=st.floats(2, 40), share=st.floats(-1.5, 1.5), depth=st.floats(0.2, 2))
def test_the_chord_of_a_cylinder_is_the_textbook_one(
    radius: float, share: float, depth: float
) -> None:
    u = np.array([radius * share], np.float32)
    found = elliptic_chord(u, np.array([radius], np.float32), np.array([depth], np.float32))
    truth = 2 * depth * np.sqrt(max(0.0, 1 - share**2))
    assert found[0] == pytest.approx(truth, abs=2e-3 * depth)


@settings(max_examples=40)
@given(
    radius=st.floats(4, 30),
    angle=st.floats(-3, 3),
    across=st.floats(-0.95, 0.95),
    along=st.floats(20, 180),
)
def test_a_tube_is_a_cylinder_however_it_lies(
    radius: float, angle: float, across: float, along: float
) -> None:
    u = radius * across
    x = np.array([u * np.cos(angle) + along * np.sin(angle)], np.float32)
    y = np.array([along * np.cos(angle) - u * np.sin(angle)], np.float32)
    found = chords(cylinder(radius, radius / 4, angle), x, y)
    assert found.outer[0] == pytest.approx(2 * np.sqrt(radius**2 - u**2), rel=1e-3)
    marrow = max(0.0, (0.75 * radius) ** 2 - u**2)
    assert found.inner[0] == pytest.approx(2 * np.sqrt(marrow), abs=0.02 * radius)


def test_overlapping_bones_add_and_tubes_of_one_bone_do_not() -> None:
    x, y = np.zeros((1, 1), np.float32), np.full((1, 1), 50, np.float32)
    bone = cylinder(10, 3)

    def envelope(bones: list[list[Tube]], scale: float = 1.0) -> float:
        rng = np.random.default_rng(0)
        paths = trace(bones, [cylinder(40, 5)], x, y, pitch=1.0, scale=scale, rng=rng)
        return float(paths.envelope[0, 0])

    assert envelope([[bone]]) == pytest.approx(20)
    assert envelope([[bone, bone]]) == pytest.approx(20)
    assert envelope([[bone], [bone]]) == pytest.approx(40)
    assert envelope([[bone]], scale=0.5) == pytest.approx(10)


def test_a_shaft_is_brightest_at_its_cortex() -> None:
    x = np.linspace(-30, 30, 241, dtype=np.float32)[None].repeat(8, 0)
    y = np.full_like(x, 100.0)
    rng = np.random.default_rng(0)
    paths = trace([[cylinder(12, 4)]], [cylinder(40, 5)], x, y, pitch=0.25, scale=1.0, rng=rng)
    profile = paths.bone[0]
    assert np.abs(x[0, profile.argmax()]) == pytest.approx(8, abs=0.3)
    assert profile[120] == pytest.approx(8, abs=0.05)


def layers(bone: float, muscle: float) -> Paths:
    def full(value: float) -> np.ndarray:
        return np.full((40, 40), value, np.float32)

    return Paths(full(bone), full(bone), full(muscle), full(0), full(0))


def test_the_beam_hardens_and_kilovolts_go_through() -> None:
    def optical(bone: float, kvp: float = 60) -> float:
        return -float(np.log(transmit(layers(bone, 0), kvp))[0, 0])

    assert optical(0) == pytest.approx(0, abs=1e-6)
    assert optical(20) < 2 * optical(10)
    assert optical(20, kvp=80) < optical(20, kvp=50)


def test_fewer_photons_make_a_noisier_film() -> None:
    paths = layers(0, 100)
    paths.bone[:, 20:] = 10

    def grain(photons: float) -> float:
        film = expose(paths, Exposure(photons=photons), np.random.default_rng(1))
        return float(film[:, 24:36].std())

    assert grain(500) > 2 * grain(50_000)


@pytest.mark.parametrize("size", [(64, 64), (256, 256), (96, 320), (333, 128)])
def test_a_film_has_the_size_and_the_kind_that_was_asked_for(size: tuple[int, int]) -> None:
    film = phantom_film(3, size)
    assert film.pixels.shape == film.mask.shape == size
    assert film.pixels.dtype == np.float32 and film.mask.dtype == np.bool_
    assert 0 <= film.pixels.min() < film.pixels.max() <= 1
    assert film.mask.any() and not film.mask.all()


def test_one_seed_gives_one_film_to_the_byte() -> None:
    one, two, other = phantom_film(11, (128, 96)), phantom_film(11, (128, 96)), phantom_film(12)
    assert one.pixels.tobytes() == two.pixels.tobytes()
    assert one.mask.tobytes() == two.mask.tobytes()
    assert (one.part, one.view) == (two.part, two.view)
    assert one.view != other.view


def test_every_part_occurs(films: list[Film]) -> None:
    assert {film.part for film in films} == set(PARTS)
    assert {film.view.side for film in films} == {"L", "R"}


def test_films_differ_in_bone_share_and_brightness(films: list[Film]) -> None:
    shares = np.array([film.mask.mean() for film in films])
    assert shares.min() > 0.03 and shares.max() < 0.7
    assert shares.max() > 2.5 * shares.min()
    assert np.std([film.pixels.mean() for film in films]) > 0.04


def test_bone_is_brighter_than_the_flesh_beside_it(films: list[Film]) -> None:
    steps = []
    for film in films:
        inside = film.mask & ~binary_erosion(film.mask, iterations=4)
        outside = binary_dilation(film.mask, iterations=4) & ~film.mask
        steps.append(film.pixels[inside].mean() - film.pixels[outside].mean())
    assert min(steps) > 0.0
    assert np.mean(steps) > 0.05


def test_the_mask_lies_where_the_bone_does(films: list[Film]) -> None:
    def step(film: Film, shift: int) -> float:
        mask = np.roll(film.mask, (shift, shift), (0, 1))
        edge = binary_dilation(mask, iterations=2) & ~binary_erosion(mask, iterations=2)
        return float(film.pixels[edge & mask].mean() - film.pixels[edge & ~mask].mean())

    aligned = np.mean([step(film, 0) for film in films])
    assert aligned > 1.3 * max(np.mean([step(film, shift) for film in films]) for shift in (-2, 2))


def test_a_film_too_small_is_refused() -> None:
    with pytest.raises(UsageError, match="too small"):
        phantom_film(0, (16, 256))


def test_simulate_writes_what_it_says(tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    simulate(
        tmp_path / "set",
        3,
        seed=5,
        size=(80, 64),
        progress=lambda done, all_: told.append((done, all_)),
    )
    names = ["phantom_000005", "phantom_000006", "phantom_000007"]
    assert told == [(1, 3), (2, 3), (3, 3)]
    found = {str(p.relative_to(tmp_path / "set")) for p in tmp_path.rglob("*") if p.is_file()}
    pngs = {f"{folder}/{name}.png" for folder in ("images", "masks") for name in names}
    assert found == pngs | {"parts.csv", "views.csv", "simulated.csv"}
    for i, name in enumerate(names):
        film = phantom_film(5 + i, (80, 64))
        image = np.asarray(Image.open(tmp_path / "set" / "images" / f"{name}.png"))
        mask = np.asarray(Image.open(tmp_path / "set" / "masks" / f"{name}.png"))
        assert image.dtype == mask.dtype == np.uint8
        assert np.abs(image / 255 - film.pixels).max() <= 0.5 / 255 + 1e-6
        assert np.array_equal(mask, film.mask * np.uint8(255))
    with (tmp_path / "set" / "parts.csv").open() as file:
        assert [row["name"] for row in csv.DictReader(file)] == names
    with (tmp_path / "set" / "views.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["side"] for row in rows] == [phantom_film(5 + i).view.side for i in range(3)]
    assert all(48 <= float(row["kvp"]) <= 78 for row in rows)


def test_sixteen_bits_keep_more_greys(tmp_path: Path) -> None:
    simulate(tmp_path, 1, size=(96, 96), bits=16)
    image = np.asarray(Image.open(tmp_path / "images" / "phantom_000000.png"))
    assert image.dtype == np.uint16
    assert len(np.unique(image)) > 256


def test_simulate_never_mixes_with_other_images(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "mine.png").write_bytes(b"keep me")
    with pytest.raises(OutputError, match="already contains"):
        simulate(tmp_path, 1, size=(64, 64))
    assert (tmp_path / "images" / "mine.png").read_bytes() == b"keep me"
    assert not (tmp_path / "parts.csv").exists()


class StoppedError(Exception):
    """What a user's Ctrl-C or a machine's end does to a simulation."""


def stopped(folder: Path, after: int, **words: object) -> None:
    def at(done: int, count: int) -> None:
        if done == after:
            raise StoppedError

    with pytest.raises(StoppedError):
        simulate(folder, 6, size=(64, 64), progress=at, **words)  # type: ignore[arg-type]


def test_what_was_stopped_goes_on_to_the_same_bytes(tmp_path: Path) -> None:
    simulate(tmp_path / "whole", 6, size=(64, 64))
    stopped(tmp_path / "parts", after=2)
    kept = tmp_path / "parts" / "images" / "phantom_000000.png"
    made = kept.stat().st_mtime_ns
    with (tmp_path / "parts" / "unfinished.csv").open("a") as log:
        log.write("phantom_0000")  # a kill in the midst of a line
    stopped(tmp_path / "parts", after=4, resume=True)
    told: list[int] = []
    simulate(
        tmp_path / "parts",
        6,
        size=(64, 64),
        resume=True,
        progress=lambda done, count: told.append(done),
    )
    assert told == [5, 6]
    assert kept.stat().st_mtime_ns == made
    whole = sorted(p for p in (tmp_path / "whole").rglob("*") if p.is_file())
    for path in whole:
        same = tmp_path / "parts" / path.relative_to(tmp_path / "whole")
        assert same.read_bytes() == path.read_bytes()
    assert len(whole) == len([p for p in (tmp_path / "parts").rglob("*") if p.is_file()])


def test_nothing_goes_on_without_being_asked_or_with_other_words(tmp_path: Path) -> None:
    stopped(tmp_path, after=2)
    with pytest.raises(OutputError, match="already contains files: add --resume, or choose"):
        simulate(tmp_path, 6, size=(64, 64))
    with pytest.raises(UsageError, match=r"started with other options, .* its unfinished\.csv"):
        simulate(tmp_path, 6, size=(64, 64), seed=1, resume=True)


def test_resume_of_nothing_begins_and_of_a_finished_set_changes_nothing(tmp_path: Path) -> None:
    simulate(tmp_path, 2, size=(64, 64), resume=True)
    files = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*") if path.is_file()}
    told: list[int] = []
    simulate(
        tmp_path, 2, size=(64, 64), resume=True, progress=lambda done, count: told.append(done)
    )
    assert told == [2]
    assert {path: path.stat().st_mtime_ns for path in files} == files
    with pytest.raises(UsageError, match=r"other options, listed in its simulated\.csv"):
        simulate(tmp_path, 3, size=(64, 64), resume=True)
    with pytest.raises(OutputError, match="already contains files: choose"):
        simulate(tmp_path, 2, size=(64, 64))


def test_a_folder_that_cannot_be_is_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(OutputError) as caught:
        simulate(tmp_path / "file", 1)
    assert "\n" not in str(caught.value) and "file" in str(caught.value)


@pytest.mark.parametrize(
    "words", [{"count": 0}, {"parallel": 0}, {"seed": -1}, {"bits": 12}, {"size": (8, 8)}]
)
def test_words_that_cannot_be_are_refused(tmp_path: Path, words: dict[str, object]) -> None:
    with pytest.raises(UsageError):
        simulate(tmp_path / "set", **{"count": 1, **words})  # type: ignore[arg-type]
    assert not (tmp_path / "set").exists()


def test_the_mask_follows_the_stated_path() -> None:
    paths = layers(0, 100)
    paths.envelope[:, :20] = MASK_PATH_MM * 0.99
    paths.envelope[:, 20:] = MASK_PATH_MM * 1.01
    assert not paths.mask[:, :20].any() and paths.mask[:, 20:].all()
