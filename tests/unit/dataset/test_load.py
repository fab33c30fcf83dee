"""Films are decoded once for all runs; those beyond the memory limit are mapped from a file."""

from __future__ import annotations

import gc
import pickle
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from boneseg.dataset import load
from boneseg.dataset.load import Films, fingerprint, load_films, read_films
from boneseg.dataset.open import Dataset, open_dataset
from boneseg.errors import DatasetError, OutputError
from boneseg.preprocessing import Preparation
from boneseg.radiograph.film import Radiograph
from boneseg.radiograph.read import read_radiograph
from tests.support.datasets import add, limb


@pytest.fixture
def dataset(data: Path) -> Dataset:
    add(data, "copy", *limb(2))
    return open_dataset(data)


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often each film was decoded."""
    counts: Counter[str] = Counter()

    def read(path: Path) -> Radiograph:
        counts[path.stem] += 1
        return read_radiograph(path)

    monkeypatch.setattr(load, "read_radiograph", read)
    return counts


def same(ours: Films, theirs: Films) -> bool:
    return all(
        np.array_equal(one.radiograph.pixels, other.radiograph.pixels)
        and np.array_equal(one.mask, other.mask)
        and one.fingerprint == other.fingerprint
        and one.digest == other.digest
        and one.bone_share == other.bone_share
        for one, other in zip(ours, theirs, strict=True)
    )


def test_each_film_is_decoded_once_in_the_order_of_the_cases(
    dataset: Dataset, decoded: Counter[str], tmp_path: Path
) -> None:
    films = load_films(dataset, tmp_path)
    assert films.cases == list(dataset.cases)
    assert set(decoded.values()) == {1}
    assert load_films(films, tmp_path) is films


def test_near_duplicates_share_a_cluster(dataset: Dataset, tmp_path: Path) -> None:
    films = load_films(dataset, tmp_path)
    assert films.clusters[films.cases.index(dataset.cases[-1])] == films.clusters[2]
    assert len(set(films.clusters)) == len(films) - 1


@pytest.mark.parametrize("in_memory", [0, 100_000, 10**9])
def test_films_beyond_the_memory_limit_are_the_same_from_a_file(
    dataset: Dataset, tmp_path: Path, in_memory: int
) -> None:
    """A film takes 54 kB here: none, one or all are in memory."""
    scratch = tmp_path / "run"
    scratch.mkdir()
    films = load_films(dataset, scratch, in_memory=in_memory)
    assert same(films, load_films(dataset, tmp_path))
    expected = {0: len(films), 100_000: len(films) - 1, 10**9: 0}[in_memory]
    assert sum(type(film.mask) is not np.ndarray for film in films) == expected
    del films
    gc.collect()
    assert not list(scratch.iterdir())


def test_a_part_shares_its_films(dataset: Dataset, tmp_path: Path) -> None:
    films = load_films(dataset, tmp_path)
    part = films.part([4, 1])
    assert [film is films[index] for film, index in zip(part, (4, 1), strict=True)] == [True, True]
    assert part.clusters == (films.clusters[4], films.clusters[1])
    assert part.root == films.root


def test_a_film_is_placed_once_a_working_grid(dataset: Dataset, tmp_path: Path) -> None:
    film = load_films(dataset, tmp_path)[0]
    small, large = Preparation(32, 32), Preparation(64, 64)
    first = film.placed(small)
    pixels, place = small.film(film.radiograph.pixels)
    assert np.array_equal(first.pixels, pixels)
    assert np.array_equal(first.mask, small.mask(film.mask, place))
    assert first.place == place
    assert film.placed(Preparation(32, 32)) is first
    assert film.placed(large).pixels.shape == (64, 64)
    assert np.array_equal(film.placed(small).pixels, first.pixels)


def test_workers_get_films_of_a_file_without_their_pixels(dataset: Dataset, tmp_path: Path) -> None:
    films = load_films(dataset, tmp_path, in_memory=0)
    text = pickle.dumps(films)
    assert len(text) < films[0].radiograph.pixels.nbytes
    copies = pickle.loads(text)
    assert same(copies, films)
    assert copies.clusters == films.clusters


def test_a_fingerprint_of_films_depends_on_each_and_not_on_their_order(
    dataset: Dataset, tmp_path: Path
) -> None:
    films = load_films(dataset, tmp_path)
    assert fingerprint(films) == fingerprint(films[::-1])
    assert fingerprint(films) == fingerprint(read_films(dataset.cases))
    parts = [fingerprint(films.part(range(count))) for count in range(len(films) + 1)]
    assert len(set(parts)) == len(parts)
    assert len(set(films.fingerprints.values())) == len(films)


def test_all_unreadable_films_are_named_and_nothing_is_left(
    dataset: Dataset, tmp_path: Path
) -> None:
    for case in dataset.cases[:2]:
        case.image.write_bytes(b"")
    scratch = tmp_path / "run"
    scratch.mkdir()
    with pytest.raises(DatasetError, match=r"2 errors in all, in case0, case1; see boneseg check"):
        load_films(dataset, scratch, in_memory=0)
    assert not list(scratch.iterdir())


def test_a_scratch_folder_that_cannot_be_written_is_the_only_error(
    dataset: Dataset, tmp_path: Path
) -> None:
    with pytest.raises(OutputError, match="No such file or directory"):
        load_films(dataset, tmp_path / "missing", in_memory=0)


def test_progress_is_reported_for_each_film(dataset: Dataset, tmp_path: Path) -> None:
    reported: list[tuple[int, int]] = []
    load_films(dataset, tmp_path, progress=lambda *done: reported.append(done))
    assert reported == [(count, 7) for count in range(1, 8)]
