"""Outlines of fewer points stay close to the originals."""

from __future__ import annotations

import numpy as np
from hypothesis import given

from boneseg.masks.polygons import fill, outlines, rings
from boneseg.masks.simplification import simplified
from tests.support.polygons import blobs, masks
from tests.support.regions import Mask


@given(masks)
def test_a_tolerance_of_a_third_of_a_pixel_changes_no_pixel(mask: Mask) -> None:
    assert np.array_equal(fill(rings(outlines(mask, 0.35)), mask.shape), mask)


def test_fewer_points_the_more_an_outline_may_stray() -> None:
    mask = blobs()
    counts = [len(np.concatenate(rings(outlines(mask, t)))) for t in (0, 0.35, 0.75, 1.5)]
    assert counts == sorted(counts, reverse=True)
    assert counts[1] < counts[0] / 2
    strayed = fill(rings(outlines(mask, 1.5)), mask.shape) != mask
    assert 0 < strayed.sum() < 0.1 * mask.sum()


def test_points_on_a_line_go_and_corners_stay() -> None:
    sides = [(x, 0) for x in range(9)] + [(9, y) for y in range(9)]
    sides += [(9 - x, 9) for x in range(9)] + [(0, 9 - y) for y in range(9)]
    (corners,) = simplified([np.array(sides, float)], 0.1)
    assert {tuple(point) for point in corners.tolist()} == {(0, 0), (9, 0), (9, 9), (0, 9)}
