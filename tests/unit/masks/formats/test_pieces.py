"""Connected pieces and run lengths are those of SciPy and of pycocotools."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from pycocotools import mask as coco
from scipy import ndimage

from boneseg.masks.formats.pieces import extent, pieces, run_lengths

masks = array_shapes(min_dims=2, max_dims=2, max_side=12).flatmap(lambda shape: arrays(bool, shape))


@given(masks, st.booleans())
def test_each_piece_is_one_component_and_together_they_are_the_mask(
    mask: np.ndarray, by_columns: bool
) -> None:
    numbered, count = ndimage.label(mask, np.ones((3, 3)))
    found = list(pieces(mask, by_columns=by_columns))
    assert len(found) == count
    for number, places in enumerate(found, start=1):
        expected = np.argwhere((numbered == number).T if by_columns else numbered == number)
        assert np.array_equal(places, expected[:, ::-1] if by_columns else expected)


@given(masks.filter(np.any))
def test_run_lengths_paint_the_mask_again(mask: np.ndarray) -> None:
    flat = np.flatnonzero(mask.ravel(order="F"))
    lengths = run_lengths(flat, mask.size)
    assert sum(lengths) <= mask.size and all(length > 0 for length in lengths[1:])
    document = {"size": list(mask.shape), "counts": lengths}
    painted = coco.decode(coco.frPyObjects(document, *mask.shape))
    assert np.array_equal(painted.astype(bool), mask)


@pytest.mark.parametrize("degrees", [0, 20, 45, 70, -30])
def test_a_slanting_bar_has_its_length_and_angle(degrees: float) -> None:
    rows, columns = np.mgrid[:400, :400] + 0.5 - 200
    turn = np.radians(degrees)
    along = rows * np.cos(turn) - columns * np.sin(turn)
    across = rows * np.sin(turn) + columns * np.cos(turn)
    found = extent(np.argwhere((np.abs(along) < 150) & (np.abs(across) < 20)))
    assert found.length == pytest.approx(300, abs=2.5)
    assert found.width == pytest.approx(40, abs=2.5)
    assert found.degrees == pytest.approx(degrees, abs=0.5)
