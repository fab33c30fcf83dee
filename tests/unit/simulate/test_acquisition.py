"""Exposures suit the body, and one seed gives one film."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from boneseg.simulate import acquisition
from boneseg.simulate.acquisition import expose_for, take_film
from boneseg.simulate.framing import Labels
from boneseg.simulate.projector import Array
from tests.support.simulation import some_paths


def test_a_thicker_body_is_exposed_harder_on_average() -> None:
    thin = some_paths()
    thick = replace(thin, muscle=thin.muscle * 6, fat=thin.fat * 6)

    def kilovolts(paths: object) -> float:
        return float(
            np.mean([expose_for(np.random.default_rng(s), paths, "chest").kvp for s in range(20)])
        )

    assert kilovolts(thick) > kilovolts(thin)


def test_whole_legs_are_mostly_compensated_so_that_the_calf_is_as_bright_as_the_hip() -> None:
    def levels(part: str) -> list[float]:
        exposures = (expose_for(np.random.default_rng(s), some_paths(), part) for s in range(40))
        return [one.level for one in exposures]

    assert 0.4 < np.mean([level > 0.25 for level in levels("full leg")]) < 0.8
    assert set(levels("hand")) == {0.0}


def test_one_seed_gives_one_exposure() -> None:
    def exposure(seed: int) -> object:
        return expose_for(np.random.default_rng(seed), some_paths(), "hand")

    assert exposure(1) == exposure(1) != exposure(2)


def test_bone_that_stitching_or_a_window_makes_black_is_hidden(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """However well the detector saw it."""
    whole = take_film(np.random.default_rng(2), some_paths(), 1.0, "hand")
    frame = acquisition.frame_film

    def darkened(rng: np.random.Generator, film: Array, labels: Labels) -> tuple[Array, Labels]:
        film, labels = frame(rng, film, labels)
        film[len(film) // 2 :] = 0
        return film, labels

    monkeypatch.setattr(acquisition, "frame_film", darkened)
    film = take_film(np.random.default_rng(2), some_paths(), 1.0, "hand")
    assert film.hidden is not None and whole.hidden is not None
    assert np.array_equal(film.mask, whole.mask)
    lower = slice(3 * len(film.mask) // 4, None)  # away from the border
    assert film.mask[lower].any()
    assert np.array_equal(film.hidden[lower], film.mask[lower])
    assert whole.hidden[lower].mean() < 0.5 * film.hidden[lower].mean()
