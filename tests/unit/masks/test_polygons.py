"""Polygons and masks: a mask that is outlined and filled is unchanged."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nrrd
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from boneseg.dataset.audit import check_dataset
from boneseg.dataset.open import open_dataset
from boneseg.errors import MaskError
from boneseg.masks.annotations import cut_off
from boneseg.masks.polygons import area, ellipse, fill, keyhole, outlines, rings
from boneseg.masks.read import read_mask
from tests.support.polygons import (
    TOOLS,
    blobs,
    cvat_polygons,
    every_tool,
    labelme_polygons,
    masks,
    painted,
)
from tests.support.readings import picture
from tests.support.regions import HEIGHT, SHAPE, SQUARE, WIDTH, Mask, mask_of, rectangle


@given(masks)
def test_outlines_reproduce_every_mask(mask: Mask) -> None:
    assert np.array_equal(fill(rings(outlines(mask, 0)), mask.shape), mask)


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


def test_an_ellipse_is_turned_clockwise() -> None:
    ring = ellipse(10, 10, 8, 2, 45)
    end = ring[np.argmax(np.hypot(*(ring - 10).T))]
    assert (end[0] - 10) * (end[1] - 10) > 0  # down to the right, or up to the left
    assert area(ring) == pytest.approx(np.pi * 16, rel=1e-3)


@every_tool
@pytest.mark.parametrize(
    ("ring", "row", "column", "count"),
    [
        ([[20, 30.6], [40, 30.6], [40, 30.9]], 30, 30, 20),  # thinner than a pixel, lying
        ([[20.1, 10], [20.4, 10], [20.4, 30], [20.1, 30]], 15, 20, 20),  # and upright
        ([[50.2, 20.2], [50.4, 20.2], [50.3, 20.4]], 20, 50, 1),  # smaller than a pixel
        ([[50.5, 20.5]] * 3, 20, 50, 1),  # a point
        ([[10, 10], [20, 10], [10, 10]], 10, 15, 11),  # a line
        ([[80, 60], [80, 60], [80, 60]], 59, 79, 1),  # the film's last corner
    ],
)
def test_a_polygon_without_a_pixel_centre_covers_the_pixels_it_crosses(
    tool: str, ring: Any, row: int, column: int, count: int, tmp_path: Path
) -> None:
    only = painted(tmp_path / "only", tool, ring)
    assert only[row, column]
    assert abs(int(only.sum()) - count) <= 1
    both = painted(tmp_path / "both", tool, SQUARE, ring)
    assert np.array_equal(both, rectangle() | only)


@every_tool
def test_a_polygon_outside_its_film_is_refused(tool: str, tmp_path: Path) -> None:
    beyond = [[81, 10], [83, 10], [83, 40]]
    with pytest.raises(MaskError, match=r"a polygon labelled (bone|0|1) is outside its film"):
        painted(tmp_path / "a", tool, SQUARE, beyond)
    cut = painted(tmp_path / "b", tool, [[70, 10], [83, 10], [83, 40], [70, 40]])
    assert np.array_equal(cut, rectangle(70, 10, 80, 40))


@pytest.mark.parametrize("tool", ["labelme", "coco", "cvat", "label-studio"])
def test_polygons_in_parts_of_the_film_are_refused(tool: str, tmp_path: Path) -> None:
    unit = (0.01, 0.01) if tool == "label-studio" else (1 / WIDTH, 1 / HEIGHT)
    parts = [[x * unit[0], y * unit[1]] for x, y in SQUARE]
    with pytest.raises(MaskError, match="are all between 0 and 1"):
        painted(tmp_path, tool, parts, parts)


@pytest.mark.parametrize("tool", ["labelme", "coco", "cvat"])
def test_the_outline_of_the_first_pixel_is_in_pixels(tool: str, tmp_path: Path) -> None:
    first = np.zeros(SHAPE, bool)
    first[0, 0] = True
    diamond = [[0, 0.5], [0.5, 0], [1, 0.5], [0.5, 1]]
    assert np.array_equal(painted(tmp_path, tool, diamond), first)


@pytest.mark.parametrize("tool", ["labelme", "coco"])
def test_polygons_far_beyond_a_film_of_unknown_size_are_refused(tool: str, tmp_path: Path) -> None:
    name, make = TOOLS[tool]
    wide, near = [[20, 20], [120, 20], [120, 40]], [[70, 10], [83, 10], [83, 40], [70, 40]]
    for index, ring in enumerate((wide, near)):
        document = make(ring)
        for facts in (document, *document.get("images", ())):
            for key in ("imageHeight", "imageWidth", "height", "width"):
                facts.pop(key, None)
        if ring is wide:
            with pytest.raises(MaskError, match="reach 40 px beyond the film, and does not give"):
                mask_of(tmp_path / str(index), name, document)
        else:
            found = mask_of(tmp_path / str(index), name, document)
            assert np.array_equal(found, rectangle(70, 10, 80, 40))


def test_check_reports_polygons_that_are_cut_off(tmp_path: Path) -> None:
    for name, x in (("a", 85), ("b", 81)):
        picture(tmp_path / "images" / f"{name}.png")
        path = tmp_path / "masks" / f"{name}.json"
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps(labelme_polygons([[70, 10], [x, 10], [x, 40], [70, 40]])))
    found = [p for p in check_dataset(open_dataset(tmp_path)).problems if p.kind == "cut off"]
    assert [(p.names, p.serious) for p in found] == [(("a",), False)]
    assert "reach 5 px beyond the film" in found[0].detail
    assert cut_off(tmp_path / "masks" / "b.json", SHAPE) == 1


def test_masks_that_reach_beyond_their_film_are_refused(tmp_path: Path) -> None:
    mask = '<mask label="bone" rle="0, 4" left="79" top="0" width="2" height="2"/>'
    beyond = cvat_polygons().replace("></image>", f">{mask}</image>")
    with pytest.raises(MaskError, match="a mask labelled bone extends beyond its film"):
        mask_of(tmp_path / "a", "annotations.xml", beyond)
    edge = beyond.replace("0, 4", "0, 1, 1, 1, 1")  # what lies outside is not bone
    assert mask_of(tmp_path / "b", "annotations.xml", edge).sum() == 2
    header = {"Segmentation_ReferenceImageExtentOffset": "70 0 0", "Segment0_Name": "Bone"}
    nrrd.write(str(tmp_path / "c.seg.nrrd"), np.ones((20, 10, 1), np.uint8), header)
    with pytest.raises(MaskError, match="a segment labelled Bone extends beyond its film"):
        read_mask(tmp_path / "c.seg.nrrd", SHAPE)
