"""Copies of a film are found after the changes that archives make; different films are not."""

from __future__ import annotations

import io
from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from scipy.ndimage import gaussian_filter

from boneseg.dataset.duplicates import near_duplicates, thumbnail
from tests.support.films import DATA

Film = NDArray[np.float32]


def film(seed: int, height: int = 300, width: int = 240) -> Film:
    """A made-up film: soft structure of several sizes."""
    noise = np.random.default_rng(seed).normal(size=(height, width))
    layers = [gaussian_filter(noise, sigma) * sigma for sigma in (2, 5, 12, 30)]
    total = np.sum(layers, axis=0)
    return ((total - total.min()) / np.ptp(total)).astype(np.float32)


def as_jpeg(pixels: Film) -> Film:
    encoded = io.BytesIO()
    Image.fromarray((pixels * 255).astype(np.uint8)).save(encoded, "JPEG", quality=50)
    return np.asarray(Image.open(encoded), np.float32) / 255


def halved(pixels: Film) -> Film:
    size = (pixels.shape[1] // 2, pixels.shape[0] // 2)
    return np.asarray(Image.fromarray(pixels).resize(size, Image.Resampling.BICUBIC))


CHANGES: dict[str, Callable[[Film], Film]] = {
    "none": lambda film: film.copy(),
    "JPEG of quality 50": as_jpeg,
    "darker and flatter": lambda film: film * np.float32(0.5) + np.float32(0.1),
    "gamma": lambda film: film ** np.float32(0.7),
    "half the size": halved,
    "one pixel down and right": lambda film: np.pad(film, ((1, 0), (1, 0)), "edge")[:-1, :-1],
    "one pixel up and left": lambda film: np.pad(film, ((0, 1), (0, 1)), "edge")[1:, 1:],
    "mirrored": lambda film: film[:, ::-1],
}


def real_films(name: str, every: int = 1) -> list[Film]:
    paths = sorted((DATA / name / "images").glob("*.png"))[::every]
    if not paths:
        pytest.skip("needs the radiographs of ../shared/data")
    return [np.asarray(Image.open(path).convert("L"), np.float32) / 255 for path in paths]


def clusters_of(films: list[Film]) -> list[int]:
    return near_duplicates([thumbnail(film) for film in films])


@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_copy_is_a_near_duplicate_and_no_other_film_is(change: str) -> None:
    films = [film(seed) for seed in range(4)]
    films += [CHANGES[change](films[2])]
    clusters = clusters_of(films)
    assert clusters[4] == clusters[2]
    assert len(set(clusters)) == 4


@pytest.mark.parametrize("name", ["legs", "knee-femur", "knee-tibia", "spine"])
def test_similar_real_films_are_not_near_duplicates_but_their_copies_are(name: str) -> None:
    films = real_films(name)
    assert len(set(clusters_of(films))) == len(films)
    some = films[:: len(films) // 5]
    for change in CHANGES.values():
        both = some + [change(one) for one in some]
        clusters = clusters_of(both)
        assert clusters[: len(some)] == clusters[len(some) :]
        assert len(set(clusters)) == len(some)


def test_a_shift_by_a_cell_of_the_thumbnail_is_found() -> None:
    films = [film(seed) for seed in range(3)]
    films.append(np.pad(films[1], ((2, 0), (2, 0)), "edge")[:-2, :-2])
    clusters = clusters_of(films)
    assert clusters[3] == clusters[1]
    assert len(set(clusters)) == 3


def test_a_thumbnail_is_its_own_thumbnail() -> None:
    small = thumbnail(film(0))
    assert small.shape == (128, 128)
    assert np.array_equal(thumbnail(small), small)


def test_blank_films_are_near_duplicates_only_if_equal_and_no_films_have_no_clusters() -> None:
    films = [np.full((50, 50), level, np.float32) for level in (0.0, 0.3, 0.0)]
    clusters = clusters_of(films)
    assert clusters[0] == clusters[2] != clusters[1]
    assert near_duplicates([]) == []
