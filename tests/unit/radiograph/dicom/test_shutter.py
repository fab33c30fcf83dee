"""The shutter of a film: covered pixels are black and excluded from percentiles."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from boneseg.radiograph.dicom.shutter import open_part
from boneseg.radiograph.read import read_radiograph
from tests.support import films
from tests.support.stored_values import BONE, pixels_with

RECTANGLE = {
    "ShutterShape": "RECTANGULAR",
    "ShutterUpperHorizontalEdge": 5,
    "ShutterLowerHorizontalEdge": 40,
    "ShutterLeftVerticalEdge": 9,
    "ShutterRightVerticalEdge": 60,
}


CIRCLE = {
    "ShutterShape": "CIRCULAR",
    "CenterOfCircularShutter": [24, 30],
    "RadiusOfCircularShutter": 15,
}


@pytest.mark.parametrize("interpretation", ["MONOCHROME1", "MONOCHROME2"])
def test_what_the_shutter_covers_is_black(tmp_path, interpretation):
    """Rows and columns are counted from 1, and the edges belong to what is seen."""
    pixels = pixels_with(tmp_path, PhotometricInterpretation=interpretation, **RECTANGLE)
    shown = BONE if interpretation == "MONOCHROME2" else 1 - BONE
    np.testing.assert_allclose(pixels[4:40, 8:60], shown[4:40, 8:60], atol=1e-6)
    pixels[4:40, 8:60] = 0
    assert not pixels.any()


def test_a_round_shutter_is_round_in_the_patient(tmp_path):
    pixels = pixels_with(tmp_path, **CIRCLE)
    assert pixels[23, 29 - 15] > 0 and pixels[23, 29 - 16] == 0
    assert pixels[23 - 15, 29] > 0 and pixels[23 - 16, 29] == 0
    tall = pixels_with(tmp_path, PixelSpacing=[0.3, 0.1], **CIRCLE)  # 15 widths are 5 heights
    assert tall[23, 29 - 15] > 0 and tall[23, 29 - 16] == 0
    assert tall[23 - 5, 29] > 0 and tall[23 - 6, 29] == 0


def test_the_least_of_several_shutters_stays_open(tmp_path):
    corners = [1, 1, 48, 1, 48, 64]  # row, column: the half below the diagonal
    both = CIRCLE | {"ShutterShape": ["CIRCULAR", "POLYGONAL"]}
    pixels = pixels_with(tmp_path, **both, VerticesOfThePolygonalShutter=corners)
    assert pixels[23 + 10, 29] > 0 and pixels[23 - 10, 29 + 5] == 0 and pixels[47, 2] == 0


@pytest.mark.parametrize(
    "words",
    [
        RECTANGLE | {"ShutterLowerHorizontalEdge": 0},
        RECTANGLE | {"ShutterLowerHorizontalEdge": None},
        CIRCLE | {"RadiusOfCircularShutter": 0},
        {"ShutterShape": "POLYGONAL"},
        {"ShutterShape": "POLYGONAL", "VerticesOfThePolygonalShutter": [1, 1, 9]},
        {
            "ShutterShape": "POLYGONAL",
            "VerticesOfThePolygonalShutter": [1, 1, 2147483647, 1, 1, -2147483648],
        },
        CIRCLE | {"CenterOfCircularShutter": [2147483647, 2147483647]},
        CIRCLE | {"CenterOfCircularShutter": [24]},
        RECTANGLE | {"ShutterLeftVerticalEdge": 2147483647},
        RECTANGLE | {"ShutterLeftVerticalEdge": 60, "ShutterRightVerticalEdge": 9},
        {"ShutterShape": "BITMAP"},
        {"ShutterShape": ""},
    ],
)
def test_a_shutter_that_hides_everything_or_is_invalid_is_ignored(tmp_path, words):
    words = {key: value for key, value in words.items() if value is not None}
    np.testing.assert_allclose(pixels_with(tmp_path, **words), BONE, atol=1e-6)


def test_covered_pixels_are_excluded_from_percentiles(tmp_path):
    stored = films.bone(top=900) + np.uint16(1000)
    stored[:, :8] = stored[:4] = stored[40:] = stored[:, 60:] = 65535  # bare film
    pixels = read_radiograph(films.dicom(tmp_path / "a.dcm", stored, **RECTANGLE)).pixels
    assert pixels[4:40, 8:60].std() > 0.2


@given(
    top=st.integers(-5, 30),
    tall=st.integers(0, 60),
    left=st.integers(-5, 30),
    aside=st.integers(-9, 9),
)
def test_a_polygon_of_four_corners_is_the_rectangle(top, tall, left, aside):
    bottom, right = top + tall, left + tall + aside
    edges = {
        "ShutterUpperHorizontalEdge": [top],
        "ShutterLowerHorizontalEdge": [bottom],
        "ShutterLeftVerticalEdge": [left],
        "ShutterRightVerticalEdge": [right],
        "VerticesOfThePolygonalShutter": [top, left, top, right, bottom, right, bottom, left],
    }

    def shape(word):
        return open_part([word], lambda name: edges.get(name, []), (40, 50), 1.0)

    if bottom > top and right > left:  # else the polygon is a line
        np.testing.assert_array_equal(shape("RECTANGULAR"), shape("POLYGONAL"))


# -- shapes by themselves -------------------------------------------------------------------------

EDGES = {
    "ShutterUpperHorizontalEdge": [2],
    "ShutterLowerHorizontalEdge": [3],
    "ShutterLeftVerticalEdge": [2],
    "ShutterRightVerticalEdge": [4],
}


def opened(words, elements, size=(4, 5), aspect=1.0):
    found = open_part(words, lambda name: elements.get(name, []), size, aspect)
    return found if found is None else found.astype(int).tolist()


def test_a_rectangle_is_open_up_to_its_edges():
    expected = [[0, 0, 0, 0, 0], [0, 1, 1, 1, 0], [0, 1, 1, 1, 0], [0, 0, 0, 0, 0]]
    assert opened(["RECTANGULAR"], EDGES) == expected
    first = {name: [values[0], 99] for name, values in EDGES.items()}  # only the first counts
    assert opened(["RECTANGULAR"], first) == expected
    broken = {name: [values[0] + 0.9] for name, values in EDGES.items()}  # edges are whole
    assert opened(["RECTANGULAR"], broken) == expected


@pytest.mark.parametrize("name", EDGES)
def test_a_rectangle_has_four_edges(name):
    assert opened(["RECTANGULAR"], EDGES | {name: []}) is None


@pytest.mark.parametrize("edge", [1, 0, -1, -9])
def test_edges_beyond_the_film_are_those_of_the_film(edge):
    elements = EDGES | {"ShutterUpperHorizontalEdge": [edge], "ShutterLeftVerticalEdge": [edge]}
    found = opened(["RECTANGULAR"], elements)
    assert found == [[1, 1, 1, 1, 0]] * 3 + [[0] * 5]
    elements = EDGES | {"ShutterLowerHorizontalEdge": [edge]}
    assert opened(["RECTANGULAR"], elements) == [[0] * 5] * 4


def test_a_circle_is_open_up_to_its_radius():
    circle = {"CenterOfCircularShutter": [3, 4], "RadiusOfCircularShutter": [2]}
    assert opened(["CIRCULAR"], circle, (6, 7)) == [
        [0, 0, 0, 1, 0, 0, 0],
        [0, 0, 1, 1, 1, 0, 0],
        [0, 1, 1, 1, 1, 1, 0],
        [0, 0, 1, 1, 1, 0, 0],
        [0, 0, 0, 1, 0, 0, 0],
        [0, 0, 0, 0, 0, 0, 0],
    ]
    tall = opened(["CIRCULAR"], circle, (6, 7), aspect=2.0)  # half as many rows
    assert [sum(row) for row in tall] == [0, 1, 5, 1, 0, 0]


@pytest.mark.parametrize(
    ("center", "radius"), [([3], [2]), ([3, 4, 5], [2]), ([], [2]), ([3, 4], []), ([3, 4], [2, 2])]
)
def test_a_circle_has_a_center_and_a_radius(center, radius):
    circle = {"CenterOfCircularShutter": center, "RadiusOfCircularShutter": radius}
    assert opened(["CIRCULAR"], circle) is None


def test_a_polygon_is_open_with_its_outline():
    corners = [1, 1, 1, 4, 4, 1]  # row, column
    expected = [[1, 1, 1, 1, 0], [1, 1, 1, 0, 0], [1, 1, 0, 0, 0], [1, 0, 0, 0, 0]]
    assert opened(["POLYGONAL"], {"VerticesOfThePolygonalShutter": corners}) == expected


@pytest.mark.parametrize(
    "corners", [[], [1, 1, 1, 4], [1, 1, 1, 4, 4], [1, 1, 1, 4, 4, 1, 2], [1, 1, 1, 1e9, 4, 1]]
)
def test_a_polygon_has_three_corners_near_the_film(corners):
    assert opened(["POLYGONAL"], {"VerticesOfThePolygonalShutter": corners}) is None


def test_only_shapes_that_are_named_are_drawn():
    circle = {"CenterOfCircularShutter": [3, 4], "RadiusOfCircularShutter": [1]}
    corners = {"VerticesOfThePolygonalShutter": [1, 1, 1, 5, 4, 5, 4, 1]}
    known = EDGES | circle | corners
    assert opened([], known) is None and opened(["BITMAP"], known) is None
    assert opened(["POLYGONAL"], known) == [[1] * 5] * 4
    both = opened(["RECTANGULAR", "CIRCULAR"], known)
    assert both == [[0] * 5, [0, 0, 0, 1, 0], [0, 0, 1, 1, 0], [0] * 5]
    assert opened(["CIRCULAR", "RECTANGULAR", "POLYGONAL"], known) == both
    assert opened(["RECTANGULAR", "CIRCULAR"], EDGES) == opened(["RECTANGULAR"], EDGES)
