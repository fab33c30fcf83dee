"""Bone that a simulated film does not show is reported."""

import numpy as np
import pytest

from boneseg.simulate.projector import Array, Exposure, Paths, expose
from boneseg.simulate.visibility import Views, hidden_bone, views_of


def a_bar(thick: float, flesh: Array) -> Paths:
    """Compact bone of `thick` mm across the middle of flesh."""
    bone = np.zeros_like(flesh)
    bone[:, 50:70] = thick
    return Paths(bone, bone.copy(), flesh, np.zeros_like(flesh), np.zeros_like(flesh))


def even(mm: float) -> Array:
    return np.full((120, 120), mm, np.float32)


def hidden_share(paths: Paths, exposure: Exposure) -> float:
    hidden = hidden_bone(views_of(paths, exposure, np.random.default_rng(0)), paths.mask)
    assert not (hidden & ~paths.mask).any()
    return float(hidden.sum() / paths.mask.sum())


def test_the_film_is_the_one_that_is_exposed_without_looking_for_hidden_bone() -> None:
    paths, exposure = a_bar(4, even(100)), Exposure()
    views = views_of(paths, exposure, np.random.default_rng(3))
    assert np.array_equal(views.film, expose(paths, exposure, np.random.default_rng(3)))


def test_bone_in_even_flesh_is_seen() -> None:
    assert hidden_share(a_bar(4, even(100)), Exposure(photons=50_000)) == 0


def test_thin_bone_drowns_in_the_noise_of_few_photons() -> None:
    thin = a_bar(1.05, even(150))
    assert hidden_share(thin, Exposure(photons=30)) > 0.9
    assert hidden_share(thin, Exposure(photons=1_000_000)) < 0.1


def test_thin_bone_is_lost_among_structure_of_the_same_size() -> None:
    rows, columns = np.indices((120, 120), dtype=np.float32)
    waves = 60 + 30 * np.sin(rows / 3) * np.sin(columns / 3)
    busy = a_bar(1.05, waves.astype(np.float32))
    assert hidden_share(busy, Exposure(photons=1_000_000)) > 0.9


def test_bone_where_the_film_is_saturated_is_hidden() -> None:
    bar, white = a_bar(2, even(80)).mask, np.ones((120, 120), np.float32)
    assert np.array_equal(hidden_bone(Views(white, white, white), bar), bar)


@pytest.mark.parametrize("contrast", [0.02, 0.5])
def test_darker_bone_counts_as_well_as_brighter(contrast: float) -> None:
    flesh = even(0.5)
    mask = a_bar(2, even(80)).mask
    for sign in (-1, 1):
        film = flesh + np.float32(sign * contrast) * mask
        assert not hidden_bone(Views(film, film, flesh), mask).any()
