"""Regions from unvalidated values: painted as they are drawn, or refused with the reason."""

from __future__ import annotations

import base64
import io
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from PIL import Image

from boneseg.errors import MaskError
from boneseg.masks.formats.pieces import run_lengths
from boneseg.masks.regions import (
    by_runs,
    coloured,
    labels_in,
    placed,
    png,
    polygon,
    refuse_fractions,
    ring,
    whole,
)
from boneseg.masks.types import Patch

masks = array_shapes(min_dims=2, max_dims=2, max_side=12).flatmap(lambda shape: arrays(bool, shape))


def on_film(patch: Patch, shape: tuple[int, int]) -> np.ndarray:
    film = np.zeros(shape, bool)
    rows, columns = patch.part.shape
    film[patch.top : patch.top + rows, patch.left : patch.left + columns] = patch.part
    return film


@given(masks, st.booleans())
def test_run_lengths_paint_the_mask_by_rows_and_by_columns(mask: np.ndarray, columns: bool) -> None:
    flat = np.flatnonzero(mask.ravel(order="F" if columns else "C"))
    counts = run_lengths(flat, mask.size) if len(flat) else [mask.size]
    painted = by_runs(counts, mask.shape, by_columns=columns)
    assert np.array_equal(on_film(painted, mask.shape), mask)


@pytest.mark.parametrize("counts", [[3, 4], [-1, 13], [12.0], ["12"], [[12]], None, [13]])
def test_run_lengths_that_do_not_fill_the_picture_are_refused(counts: Any) -> None:
    with pytest.raises(ValueError):
        by_runs(counts, (3, 4))


def test_rings_are_pairs_or_numbers_in_a_row() -> None:
    expected = np.array([[0, 0], [4, 0], [4, 3]], float)
    for points in (
        [[0, 0], [4, 0], [4, 3]],
        [0, 0, 4, 0, 4, 3],
        [["0", "0"], ["4", "0"], ["4", "3"]],
    ):
        assert np.array_equal(ring(points), expected)
    with pytest.raises(MaskError, match="fewer than 3 points"):
        ring([[0, 0], [1, 1]])
    for wrong in ([[True, False]] * 3, [[0, 0], [1, None], [1, 1]], [[0, 0], [1e9, 0], [1, 1]]):
        with pytest.raises(ValueError):
            ring(wrong)


def test_polygons_are_joined() -> None:
    two = polygon("bone", [[0, 0], [2, 0], [2, 2], [0, 2]], [[3, 3], [5, 3], [5, 5], [3, 5]])
    assert two.paint is not None
    film = on_film(two.paint((6, 6)), (6, 6))
    assert film.sum() == 8 and film[:2, :2].all() and film[3:5, 3:5].all()
    with pytest.raises(ValueError, match="not a polygon"):
        polygon("bone")


def test_polygons_in_fractions_of_the_film_are_refused() -> None:
    tenth = polygon("bone", [[0.1, 0.1], [0.9, 0.1], [0.9, 0.9]])
    with pytest.raises(MaskError, match="in the unit of the format"):
        refuse_fractions([tenth])
    refuse_fractions([tenth, polygon("bone", [[0, 0], [9, 0], [9, 9]])])
    refuse_fractions([])


def test_a_patch_is_moved_without_its_empty_margin() -> None:
    part = np.zeros((5, 6), bool)
    part[1:3, 2:5] = True
    found = placed(Patch(part), left=10, top=20, shape=(40, 40))
    assert (found.top, found.left, found.part.shape) == (21, 12, (2, 3))
    assert found.visited == 30
    with pytest.raises(MaskError, match="extends beyond its film"):
        placed(Patch(part), left=37, top=0, shape=(40, 40))


def test_the_size_of_a_png_is_checked() -> None:
    file = io.BytesIO()
    Image.new("L", (4, 3)).save(file, "PNG")
    packed = base64.b64encode(file.getvalue())
    assert png(packed, (3, 4)).size == (4, 3)
    with pytest.raises(ValueError, match="another size"):
        png(packed, (4, 3))


def test_only_black_and_transparent_pixels_are_not_coloured() -> None:
    image = Image.new("RGBA", (4, 1), (0, 0, 0, 255))
    image.putpixel((1, 0), (1, 0, 0, 255))
    image.putpixel((2, 0), (255, 255, 255, 0))
    image.putpixel((3, 0), (0, 200, 0, 1))
    assert coloured(image).tolist() == [[False, True, False, True]]
    assert coloured(Image.new("L", (2, 1), 3)).all()


@pytest.mark.parametrize("kind", [np.float32, np.float64, np.uint8, np.int16, bool])
def test_labels_of_any_type_become_integers(kind: Any) -> None:
    found = whole(np.array([[0, 1]], kind))
    assert found.dtype.kind in "iu" and found.tolist() == [[0, 1]]


@pytest.mark.parametrize("value", [0.5, np.nan, np.inf, 2.0**60])
def test_non_integer_labels_are_refused(value: float) -> None:
    with pytest.raises(MaskError, match="one slice of integer labels"):
        whole(np.array([[0.0, value]]))


@given(arrays(np.int32, (4, 4), elements=st.integers(0, 10**9)))
def test_labels_are_the_values_besides_0(data: np.ndarray) -> None:
    assert labels_in(data) == sorted(set(data.ravel().tolist()) - {0})


def test_negative_values_and_too_many_are_not_labels() -> None:
    with pytest.raises(MaskError, match="negative"):
        labels_in(np.array([[-1, 0]]))
    with pytest.raises(MaskError, match="256 values, too many"):
        labels_in(np.arange(257).reshape(1, -1))
