"""Along its outline a mask is found on a finer grid, by a network of its own."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.ndimage import binary_dilation, distance_transform_cdt

from boneseg.bundle.card import CardOutline
from boneseg.bundle.shipped import sample_films
from boneseg.bundle.store import Bundle
from boneseg.inference.backends.base import Backend
from boneseg.inference.engine import Engine
from boneseg.inference.outline import (
    MARGIN,
    REACH,
    STEP,
    Outline,
    edge_of,
    grown,
    nearness,
)
from boneseg.inference.scales import Pass
from boneseg.preprocessing import Floats, Preparation
from boneseg.radiograph.read import read_radiograph

MASKS = arrays(bool, st.tuples(st.integers(1, 24), st.integers(1, 24)))


def with_outline(bundle: Bundle, scale: float | None) -> Bundle:
    """The bundled model on one grid, and with its pass along the outline at a scale, or without."""
    assert bundle.card.outlines is not None
    outlines = replace(bundle.card.outlines, scale=scale) if scale else None
    return replace(bundle, card=replace(bundle.card, scales=(), thin=0.0, outlines=outlines))


@pytest.fixture
def film() -> Floats:
    pixels = read_radiograph(sample_films() / "knee.png").pixels
    return np.kron(pixels, np.ones((3, 3), np.float32))


@given(MASKS, st.integers(0, 5))
def test_a_region_grows_as_with_scipy(region: np.ndarray, steps: int) -> None:
    other = binary_dilation(region, iterations=steps) if steps else region
    assert (grown(region, steps) == other).all()


@given(MASKS, st.integers(1, 9))
def test_nearness_falls_with_the_steps_from_the_other_side(mask: np.ndarray, reach: int) -> None:
    near = nearness(edge_of(mask), reach)
    if mask.all() or not mask.any():
        assert (near == 0).all()
        return
    away = np.where(
        mask, distance_transform_cdt(mask, "taxicab"), distance_transform_cdt(~mask, "taxicab")
    )
    assert near == pytest.approx(np.clip((reach + 1 - away) / reach, 0, 1), abs=1e-6)


def test_the_finer_grid_counts_on_the_outline_and_not_far_from_it() -> None:
    place = Preparation(64, 128).place((64, 128))
    coarse, fine = np.zeros((64, 128), np.float32), np.full((64, 128), 0.5, np.float32)
    coarse[:, 64:] = 1
    found = Outline.of((coarse, place), place, 0.5).refined(fine)
    assert found[:, 63:65] == pytest.approx(0.5)
    assert (found[:, : 64 - REACH] == 0).all() and (found[:, 64 + REACH :] == 1).all()
    assert (np.diff(found[0]) >= 0).all()


def test_without_bone_the_finer_grid_does_not_count() -> None:
    place = Preparation(32, 32).place((32, 32))
    none, everywhere = np.zeros((32, 32), np.float32), np.ones((32, 32), np.float32)
    outline = Outline.of((none, place), place, 0.5)
    assert (outline.refined(everywhere) == 0).all()


def test_the_grid_of_the_outline_is_finer_and_has_no_more_pixels_than_the_film(
    bundle: Bundle,
) -> None:
    bundle = with_outline(bundle, 1.6)
    own = bundle.card.height * bundle.card.width
    for size in ((400, 400), (128, 1024), (3000, 2500)):
        grid = bundle.outline(size)
        assert grid is not None
        most = min(size[0] * size[1], own * 1.6**2)
        assert own < grid.height * grid.width == pytest.approx(most, rel=0.15)
    assert bundle.outline((300, 320)) is None
    assert with_outline(bundle, None).outline((3000, 2500)) is None


def test_only_what_lies_along_the_outline_changes(bundle: Bundle, film: Floats) -> None:
    plain, both = (Engine(with_outline(bundle, scale)).find(film) for scale in (None, 1.6))
    changed = plain.mask != both.mask
    assert 0 < changed.mean() < 0.02
    pixels = REACH * film.shape[0] / 512  # of the film, in a pixel of the finer grid
    assert not (changed & ~grown(plain.mask, 2 * round(pixels))).any()
    assert both.verdict == plain.verdict
    again = Engine(with_outline(bundle, 1.6)).find(film)
    assert (again.probability == both.probability).all()


def test_a_pass_along_the_outline_sees_the_film_without_its_mirror_image(bundle: Bundle) -> None:
    passes = Engine(with_outline(bundle, 1.6)).passes((1024, 1024))
    outline = Pass(Preparation(512, 512), 1, outline=True)
    assert passes == [Pass(Preparation(320, 320), 2), outline]
    assert outline.shape == (1, 2, 512, 512)


def test_a_pass_along_the_outline_is_finer_than_the_grids_before_it(bundle: Bundle) -> None:
    """A film of 400 px has no grid that is finer than that of its thin bones."""
    card = with_outline(bundle, 1.6).card
    engine = Engine(replace(bundle, card=replace(card, scales=(1.25,))))
    assert [one.views for one in engine.passes((400, 400))] == [2, 2]
    assert [one.views for one in engine.passes((1024, 1024))] == [2, 2, 1]


def test_along_the_outline_films_of_some_parts_have_a_bias(bundle: Bundle, film: Floats) -> None:
    card = with_outline(bundle, 1.6).card
    assert card.outlines is not None
    part = Engine(bundle).find(film).verdict.part
    assert part is not None
    other, more, less = (
        Engine(
            replace(bundle, card=replace(card, outlines=replace(card.outlines, biases=biases)))
        ).segment(film)
        for biases in ({"other": 2.0}, {part: 2.0}, {part: -2.0})
    )
    assert (Engine(with_outline(bundle, 1.6)).segment(film) == other).all()
    assert less.sum() < other.sum() < more.sum()
    assert (less <= other).all() and (other <= more).all()


def test_along_the_outline_films_of_some_parts_have_a_reach(bundle: Bundle, film: Floats) -> None:
    card = with_outline(bundle, 1.6).card
    assert card.outlines is not None
    plain = Engine(with_outline(bundle, None)).find(film)
    assert plain.verdict.part is not None
    changed = []
    for reaches in ({}, {plain.verdict.part: 1}, {"other": 1}):
        outlines = replace(card.outlines, reaches=reaches)
        mask = Engine(replace(bundle, card=replace(card, outlines=outlines))).segment(film)
        changed.append((mask != plain.mask).sum())
    assert changed[0] == changed[2] > changed[1] > 0


def test_the_network_is_shown_the_film_and_what_was_found() -> None:
    grid, finer = Preparation(32, 32), Preparation(64, 64)
    coarse, place = grid.place((100, 50)), finer.place((100, 50))
    film = np.random.default_rng(0).standard_normal((64, 64), np.float32)
    found = np.zeros((32, 32), np.float32)
    found[:16] = 1
    seen = Outline.of((found, coarse), place, 0.5).view(film)
    assert seen.shape == (1, 2, 64, 64) and seen.dtype == np.float32
    assert (seen[0, 0] == film).all()
    assert (seen[0, 1, :28, 20:44] == 1).all() and (seen[0, 1, 36:, 20:44] == -1).all()
    assert (seen[0, 1, :, :16] == -1).all()  # beside the film


@given(st.data())
def test_the_network_sees_all_that_counts_with_a_margin(data: st.DataObject) -> None:
    height, width = (32 * data.draw(st.integers(1, 12)) for _ in range(2))
    place = Preparation(height, width).place((data.draw(st.integers(20, 99)), 50))
    top = data.draw(st.integers(0, place.height - 1))
    left = data.draw(st.integers(0, place.width - 1))
    found = np.zeros((height, width), np.float32)
    bone = place.window(found)
    bone[top : top + data.draw(st.integers(1, 90)), left : left + data.draw(st.integers(1, 90))] = 1
    outline = Outline.of((found, place), place, 0.5)
    window = outline.window((height, width))
    near = nearness(outline.edge, MARGIN) > 0
    if not near.any():
        assert window is None
        return
    assert window is not None
    rows, columns = window
    for side, most in ((rows, height), (columns, width)):
        assert 0 <= side.start < side.stop <= most
        assert (side.stop - side.start) % STEP == 0 or side == slice(0, most)
    left_out = np.ones((height, width), bool)
    left_out[window] = False
    assert not (place.window(left_out) & near).any()


@pytest.mark.parametrize("everywhere", [0.0, 1.0])
def test_bone_that_fills_the_film_and_a_film_without_bone_have_no_outline(
    everywhere: float,
) -> None:
    place = Preparation(64, 64).place((100, 50))
    found = np.zeros((64, 64), np.float32)
    place.window(found)[:] = everywhere
    assert Outline.of((found, place), place, 0.5).window((64, 64)) is None


def test_only_a_window_around_the_bone_is_given_to_the_network(
    bundle: Bundle, film: Floats, monkeypatch: pytest.MonkeyPatch
) -> None:
    wide = np.zeros((film.shape[0], 3 * film.shape[1]), np.float32)
    wide[:, : film.shape[1]] = film
    engine, shapes = Engine(with_outline(bundle, 1.6)), []
    answer = engine._answer

    def watched(network: Backend, films: Floats, channels: int, file: str) -> Floats:
        shapes.append(films.shape)
        return answer(network, films, channels, file)

    monkeypatch.setattr(engine, "_answer", watched)
    assert engine.segment(wide).any()
    assert shapes[1][3] < 0.6 * engine.passes(wide.shape)[-1].grid.width  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("scale", "widths"),
    [(0.5, (8,)), (5.0, (8,)), (-1.0, (8,)), (float("nan"), (8,)), (2.0, ()), (2.0, (8, 0))],
)
def test_a_scale_or_size_out_of_range_is_refused(scale: float, widths: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="out of range"):
        CardOutline(scale, widths)


@pytest.mark.parametrize("reach", [-1, 0, MARGIN + 1])
def test_a_reach_beyond_what_the_network_sees_is_refused(reach: int) -> None:
    with pytest.raises(ValueError, match="out of range"):
        CardOutline(2.0, (8,), reaches={"skull": reach})


@pytest.mark.parametrize("bias", [float("nan"), float("inf"), -1e4])
def test_a_bias_that_is_not_finite_or_too_large_is_refused(bundle: Bundle, bias: float) -> None:
    with pytest.raises(ValueError, match="out of range"):
        CardOutline(2.0, (8,), biases={"skull": bias})
    with pytest.raises(ValueError, match="out of range"):
        replace(bundle.card, biases={"skull": bias})
