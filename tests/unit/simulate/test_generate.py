"""Simulated films on disk: the same for the same seed, and resumed where they were stopped."""

import csv
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from boneseg.errors import OutputError, UsageError
from boneseg.simulate import phantom_film, simulate


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


def test_an_interrupted_set_resumes_to_the_same_bytes(tmp_path: Path) -> None:
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


def test_nothing_resumes_without_the_option_or_with_other_arguments(tmp_path: Path) -> None:
    stopped(tmp_path, after=2)
    with pytest.raises(OutputError, match="already contains files: add --resume, or choose"):
        simulate(tmp_path, 6, size=(64, 64))
    with pytest.raises(UsageError, match=r"started with other options, .* its unfinished\.csv"):
        simulate(tmp_path, 6, size=(64, 64), seed=1, resume=True)


@pytest.mark.parametrize(
    "content", [b"", b"a" * 200_000 + b"\n", b'"a\rb\n', b"\xff\xfe\n"], ids=str
)
@pytest.mark.parametrize("name", ["unfinished.csv", "simulated.csv"])
def test_a_damaged_record_is_not_continued(name: str, content: bytes, tmp_path: Path) -> None:
    stopped(tmp_path, after=2)
    (tmp_path / "unfinished.csv").rename(tmp_path / name)
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UsageError, match=rf"other options, listed .*{name}"):
        simulate(tmp_path, 6, size=(64, 64), resume=True)
    assert (tmp_path / name).read_bytes() == content


def test_temporary_files_of_a_kill_are_removed(tmp_path: Path) -> None:
    stopped(tmp_path, after=2)
    left = tmp_path / ".0123456789abcdef.new"
    left.touch()
    simulate(tmp_path, 6, size=(64, 64), resume=True)
    assert not left.exists()


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


def test_a_folder_that_cannot_be_created_is_one_clear_line(tmp_path: Path) -> None:
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
