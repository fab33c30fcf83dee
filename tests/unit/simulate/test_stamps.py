"""Shapes drawn as images: where they are, and how much of it."""

from __future__ import annotations

import numpy as np
import pytest

from boneseg.simulate.stamps import stamp


def test_shapes_are_drawn_one_over_the_other() -> None:
    image = stamp((60, 80), [("disc", (10, 10, 50, 50), 1), ("hole", (20, 20, 40, 40), 1)])
    assert (image.shape, image.dtype) == ((60, 80), np.float32)
    assert set(np.unique(image)) == {0, 1}
    assert image[30, 12] == 1 and image[30, 30] == 0 and image[30, 70] == 0
    assert image.sum() == pytest.approx(np.pi * (20.5**2 - 10.5**2), rel=0.05)


def test_lines_and_rings_have_their_width() -> None:
    line = stamp((60, 80), [("line", [(0, 30), (79, 30)], 5)])
    assert line[:, 40].sum() == 5
    ring = stamp((60, 80), [("ring", (10, 5, 60, 55), 3)])
    assert ring[30, 10:13].all() and not ring[30, 14:56].any()


def test_other_kinds_are_polygons() -> None:
    square = stamp((20, 20), [("polygon", [(5, 5), (14, 5), (14, 14), (5, 14)], 1)])
    assert square.sum() == 100
