"""Polygons and masks: what is outlined and filled again is what it was."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from numpy.typing import NDArray

from boneseg.masks.polygons import area, ellipse, fill, keyhole, outlines, rings
from boneseg.masks.simplification import simplified

Mask = NDArray[np.bool_]
sizes = array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=20)
masks = sizes.flatmap(lambda shape: arrays(bool, shape, elements=st.booleans()))


def blobs() -> Mask:
    """A ring with an island in its hole, a bar at the border, and a single pixel."""
    rows, columns = np.mgrid[:60, :80]
    distance = np.hypot(rows - 30, columns - 30)
    mask = ((distance < 24) & (distance > 14)) | (distance < 6)
    mask[5:55, 70:] = True
    mask[2, 2] = True
    return np.asarray(mask)


@given(masks)
def test_outlines_give_back_every_mask(mask: Mask) -> None:
    assert np.array_equal(fill(rings(outlines(mask, 0)), mask.shape), mask)


@given(masks)
def test_a_tolerance_of_a_third_of_a_pixel_costs_nothing(mask: Mask) -> None:
    assert np.array_equal(fill(rings(outlines(mask, 0.35)), mask.shape), mask)


@given(masks)
def test_a_keyhole_encloses_what_the_rings_do(mask: Mask) -> None:
    found = np.zeros_like(mask)
    for piece in outlines(mask, 0.35):
        one = fill([keyhole(piece)], mask.shape)
        assert np.array_equal(one, fill(piece.rings, mask.shape))
        assert not (found & one).any()
        found |= one
    assert np.array_equal(found, mask)


def test_a_ring_has_a_hole_and_an_island_is_a_piece_of_its_own() -> None:
    found = outlines(blobs())
    assert [len(piece.holes) for piece in found] == [0, 0, 1, 0]
    assert outlines(np.zeros((5, 5), bool)) == []
    (whole,) = outlines(np.ones((5, 7), bool))
    assert area(whole.outer) == pytest.approx(35 - 4 * 0.125)  # its corners are cut


def test_fewer_points_the_more_an_outline_may_stray() -> None:
    mask = blobs()
    counts = [len(np.concatenate(rings(outlines(mask, t)))) for t in (0, 0.35, 0.75, 1.5)]
    assert counts == sorted(counts, reverse=True)
    assert counts[1] < counts[0] / 2
    strayed = fill(rings(outlines(mask, 1.5)), mask.shape) != mask
    assert 0 < strayed.sum() < 0.1 * mask.sum()


@pytest.mark.parametrize(
    ("ring", "inside"),
    [
        ([(0, 0), (2, 0), (2, 1), (0, 1)], lambda r, c: (r < 1) & (c < 2)),
        ([(0.4, 0.4), (1.6, 0.4), (1.6, 1.6), (0.4, 1.6)], lambda r, c: (r < 2) & (c < 2)),
        ([(0.6, 0.6), (1.4, 0.6), (1.4, 1.4), (0.6, 1.4)], lambda r, c: (r < 0) & (c < 0)),
        ([(0, 0), (4, 0), (0, 4)], lambda r, c: r + c + 1 < 4),
        ([(-9, -9), (9, -9), (9, 9), (-9, 9)], lambda r, c: (r >= 0) & (c >= 0)),
        ([(7, 7), (9, 7), (9, 9)], lambda r, c: (r < 0) & (c < 0)),
    ],
)
def test_a_pixel_is_inside_where_its_centre_is(
    ring: list[tuple[float, float]], inside: Callable[[Mask, Mask], Mask]
) -> None:
    rows, columns = np.mgrid[:4, :4]
    expected = inside(rows, columns)
    for turned in (ring, ring[::-1], ring[1:] + ring[:1]):
        assert np.array_equal(fill([np.array(turned, float)], (4, 4)), expected)


@given(st.lists(st.tuples(st.floats(-5, 25), st.floats(-5, 25)), min_size=3, max_size=12))
def test_fill_agrees_with_ray_casting(points: list[tuple[float, float]]) -> None:
    ring = np.array(points)
    expected, doubtful = np.zeros((2, 20, 20), bool)
    centres = np.arange(20) + 0.5
    for row, y in enumerate(centres):
        for (x0, y0), (x1, y1) in zip(ring, np.roll(ring, -1, axis=0), strict=True):
            if (y0 <= y) != (y1 <= y):  # this edge crosses the row
                at = x0 + (y - y0) * (x1 - x0) / (y1 - y0)
                expected[row] ^= centres >= at
                doubtful[row] |= abs(centres - at) < 1e-9  # rounding decides
    differing = fill([ring], (20, 20)) != expected
    assert not (differing & ~doubtful).any()


def test_points_on_a_line_go_and_corners_stay() -> None:
    sides = [(x, 0) for x in range(9)] + [(9, y) for y in range(9)]
    sides += [(9 - x, 9) for x in range(9)] + [(0, 9 - y) for y in range(9)]
    (corners,) = simplified([np.array(sides, float)], 0.1)
    assert {tuple(point) for point in corners.tolist()} == {(0, 0), (9, 0), (9, 9), (0, 9)}


def test_an_ellipse_is_turned_clockwise() -> None:
    ring = ellipse(10, 10, 8, 2, 45)
    end = ring[np.argmax(np.hypot(*(ring - 10).T))]
    assert (end[0] - 10) * (end[1] - 10) > 0  # down to the right, or up to the left
    assert area(ring) == pytest.approx(np.pi * 16, rel=1e-3)
