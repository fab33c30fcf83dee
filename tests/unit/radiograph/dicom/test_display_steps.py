"""Each step of the display of stored values, on arrays and headers made here."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from pydicom import uid as classes
from pydicom.dataset import Dataset

from boneseg.errors import RadiographError
from boneseg.radiograph.dicom.display import (
    _first_window,
    _hidden,
    _is_visible,
    _leads_to_intensity,
    _modality,
    _padding,
    _shown,
    _voi,
    _with_sign_of,
    display,
    window,
)
from tests.support import films


def header(bits: int = 12, **elements: object) -> Dataset:
    dataset = Dataset()
    dataset.BitsStored, dataset.BitsAllocated = bits, 16 if bits > 8 else 8
    for keyword, value in elements.items():
        if isinstance(value, str):
            dataset.add_new(keyword, "LT", value)
        else:
            setattr(dataset, keyword, value)
    return dataset


UNSIGNED, SIGNED = np.array([[0, 10, 4095]], np.uint16), np.array([[-2048, 10, 2047]], np.int16)


@pytest.mark.parametrize(
    ("stored", "elements", "values", "limits"),
    [
        (UNSIGNED, {}, None, (0, 4095)),
        (SIGNED, {}, None, (-2048, 2047)),
        (UNSIGNED, {"RescaleSlope": 1, "RescaleIntercept": 0}, None, (0, 4095)),
        (UNSIGNED, {"RescaleSlope": 0, "RescaleIntercept": 5}, None, (0, 4095)),
        (UNSIGNED, {"RescaleSlope": 2}, [0, 20, 8190], (0, 8190)),
        (UNSIGNED, {"RescaleIntercept": -3}, [-3, 7, 4092], (-3, 4092)),
        (UNSIGNED, {"RescaleSlope": 0.5, "RescaleIntercept": 1}, [1, 6, 2048.5], (1, 2048.5)),
        (UNSIGNED, {"RescaleSlope": -1, "RescaleIntercept": 4095}, [4095, 4085, 0], (0, 4095)),
        (SIGNED, {"RescaleSlope": 1, "RescaleIntercept": 2048}, [0, 2058, 4095], (0, 4095)),
        (UNSIGNED, {"RescaleSlope": 2, "Modality": "XA"}, None, (0, 4095)),
        (UNSIGNED, {"RescaleSlope": 2, "Modality": "DX"}, [0, 20, 8190], (0, 8190)),
    ],
)
def test_the_modality_lut_and_its_limits(stored, elements, values, limits):
    found, ends = _modality(stored, header(**elements))
    assert ends == limits
    if values is None:
        assert found is stored
    else:
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, [values])


def test_slopes_of_32_bits_are_exact():
    stored = np.array([[2**31 - 1, 0]], np.int32)
    found, _ = _modality(stored, header(32, RescaleSlope=1, RescaleIntercept=-1))
    assert found.dtype == np.float64 and found.tolist() == [[2**31 - 2, -1]]


def test_the_limits_of_a_modality_table_are_its_own():
    table = films.table([7, 9, 11], first=1, bits=10)
    found, limits = _modality(UNSIGNED, header(ModalityLUTSequence=table))
    assert limits == (0, 1023)
    assert found.tolist() == [[7, 11, 11]]


@pytest.mark.parametrize(
    ("kind", "modality", "leads"),
    [
        (classes.XRayAngiographicImageStorage, "DX", True),
        (classes.XRayRadiofluoroscopicImageStorage, "DX", True),
        ("1.2.840.10008.5.1.4.1.1.12.3", "DX", True),
        (classes.DigitalXRayImageStorageForPresentation, "XA", False),
        ("1.2.3.4", "XA", True),
        ("1.2.3.4", "rf", True),
        ("1.2.3.4", "DX", False),
        ("", "XA", True),
        ("", "", False),
    ],
)
def test_which_modality_tables_lead_back_to_intensity(kind, modality, leads):
    assert _leads_to_intensity(header(SOPClassUID=kind, Modality=modality)) == leads


WORD = classes.MultiFrameGrayscaleWordSecondaryCaptureImageStorage


@pytest.mark.parametrize(
    ("values", "bits", "elements", "finished", "shown"),
    [
        (UNSIGNED, 12, {}, True, None),
        (UNSIGNED.astype(np.uint8), 8, {}, True, [0, 10 / 255, 1]),
        (UNSIGNED.astype(np.uint8), 8, {}, False, None),
        (SIGNED.astype(np.int8), 8, {}, True, None),
        (UNSIGNED, 12, {"SOPClassUID": WORD}, False, [0, 10 / 4095, 1]),
        (UNSIGNED, 12, {"WindowCenter": 11, "WindowWidth": 21}, True, [0, 0.475, 1]),
        (
            *(UNSIGNED, 12),
            {"WindowCenter": 11, "WindowWidth": 20, "VOILUTFunction": "linear_exact"},
            *(True, [0, 0.45, 1]),
        ),
        (
            *(UNSIGNED, 12),
            {"WindowCenter": 10, "WindowWidth": 20, "VOILUTFunction": "SIGMOID"},
            *(True, [1 / (1 + np.exp(2)), 0.5, 1]),
        ),
        (UNSIGNED, 12, {"VOILUTSequence": films.table([0, 5, 10], bits=8)}, True, [0, 2, 2]),
    ],
)
def test_the_voi_lut_is_the_table_the_window_or_that_of_the_class(
    values, bits, elements, finished, shown
):
    if "VOILUTSequence" in elements:
        shown = np.array([0, 10, 10]) / 255
    limits = (0.0, 2.0**bits - 1)
    found = _voi(values, limits, header(bits, **elements), finished=finished)
    if shown is None:
        assert found is None
    else:
        assert found.dtype == np.float32
        expected = [0, 10 / 255, 1] if values.dtype == np.uint8 else shown
        np.testing.assert_allclose(found[0], expected, atol=1e-6)


@pytest.mark.parametrize(
    ("centers", "widths", "function", "found"),
    [
        ([5], [1], "LINEAR", (5, 1)),
        ([5], [0.99], "LINEAR", None),
        ([5], [0.99], "LINEAR_EXACT", (5, 0.99)),
        ([5], [0.99], "SIGMOID", (5, 0.99)),
        ([5], [0.99], "OTHER", None),
        ([5], [1e-9], "SIGMOID", (5, 1e-9)),
        ([5], [0], "SIGMOID", None),
        ([5, 6], [0, 3], "LINEAR", (6, 3)),
        ([5, 6], [4, 3], "LINEAR", (5, 4)),
        (["x", 6], [4, 3], "LINEAR", (6, 3)),
        ([5, 6], ["x", 3], "LINEAR", (6, 3)),
        ([5, 6], ["x"], "LINEAR", None),
        ([0], [2], "LINEAR", (0, 2)),
        ([], [3], "LINEAR", None),
    ],
)
def test_the_first_window_that_is_wide_enough(centers, widths, function, found):
    dataset = Dataset()
    dataset.add_new("WindowCenter", "LT", "\\".join(map(str, centers)))
    dataset.add_new("WindowWidth", "LT", "\\".join(map(str, widths)))
    assert _first_window(dataset, function) == found


def test_a_window_of_one_value_is_a_step():
    values = np.array([9, 10, 11], np.int16)
    for found in (window(values, 10, 1), window(values, 10, 1, "OTHER")):
        assert found.dtype == np.float32 and found.tolist() == [0, 1, 1]
    assert values.tolist() == [9, 10, 11]
    extreme = window(np.array([-(10**9), 10**9]), 0, 1e-3, "SIGMOID")
    assert extreme.dtype == np.float32
    np.testing.assert_allclose(extreme, [0, 1], atol=1e-6)
    exact = window(np.array([2**24 + 1, 2**24]), 2**24, 2, "LINEAR_EXACT")
    assert exact.tolist() == [1, 0.5]  # not of float32


@pytest.mark.parametrize(
    ("pixels", "counts", "visible"),
    [
        (np.linspace(0, 1, 100), None, True),
        (np.linspace(0.5, 0.54, 100), None, False),  # a narrow part of the scale
        (np.linspace(0.5, 0.56, 101), None, True),
        (np.repeat([0.0, 1.0, 0.5], [49, 49, 2]), None, True),
        (np.repeat([0.0, 1.0, 0.5], [50, 49, 1]), None, False),
        (np.repeat([0.0, 1.0, 0.002], [45, 45, 10]), None, False),
        (np.repeat([0.0, 1.0, 0.998], [45, 45, 10]), None, False),
        (np.repeat([0.0, 1.0, 0.003], [45, 45, 10]), None, True),
        (np.array([]), None, False),
        (np.array([0.0, 0.5, 1.0]), np.array([49, 2, 49]), True),
        (np.array([0.0, 0.5, 1.0]), np.array([50, 1, 49]), False),
        (np.array([0.0, 0.5, 1.0]), np.array([0, 9, 0]), False),  # only one level occurs
        (np.array([0.0, 0.5, 0.9]), np.array([0, 1, 1]), True),
        (np.array([0.0, 0.5]), np.array([0, 0]), False),
    ],
)
def test_a_window_is_believed_if_it_leaves_something_visible(pixels, counts, visible):
    assert _is_visible(pixels, counts) is visible


def test_hidden_pixels_are_not_what_a_window_leaves_visible():
    stored = np.zeros((10, 10), np.uint16)
    stored[:5] = np.arange(50).reshape(5, 10)
    seen = header(WindowCenter=25.5, WindowWidth=51)
    hidden = np.zeros((10, 10), bool)
    np.testing.assert_allclose(_shown(stored, None, hidden, seen), stored / 50, atol=1e-6)
    hidden[:5] = True  # what remains is black
    assert not _shown(stored, None, hidden, seen)[5:].any()
    stored[5:] = 400
    stored[5, 0] = 300
    shown = _shown(stored, None, hidden, seen)  # the window shows only what is hidden
    assert (shown[5, 0], shown[9, 9]) == (0, 1)


@pytest.mark.parametrize(
    ("stored", "value", "limit", "hidden"),
    [
        (UNSIGNED, None, None, None),
        (UNSIGNED, 10, None, [False, True, False]),
        (UNSIGNED, 0, 10, [True, True, False]),
        (UNSIGNED, 10, 0, [True, True, False]),
        (UNSIGNED, 9, 11, [False, True, False]),
        (SIGNED, -2048, None, [True, False, False]),
        (SIGNED, 63488, None, [True, False, False]),  # -2048 as US
        (SIGNED, 63488, -2000, [True, False, False]),
        (UNSIGNED, 0, None, [True, False, False]),
    ],
)
def test_padding_is_the_range_of_its_values(stored, value, limit, hidden):
    dataset = header()
    if value is not None:
        dataset.add_new("PixelPaddingValue", "LT", str(value))
    if limit is not None:
        dataset.add_new("PixelPaddingRangeLimit", "LT", str(limit))
    found = _padding(stored, dataset)
    assert (found if found is None else found.tolist()) == (hidden if hidden is None else [hidden])
    assert _padding(np.stack([stored] * 3, -1), dataset) is None


@pytest.mark.parametrize(
    ("stored", "bits", "value", "found"),
    [
        (SIGNED, 12, 2047, 2047),
        (SIGNED, 12, -2048, -2048),
        (SIGNED, 12, 65535, -1),
        (SIGNED, 12, 2048, 2048),  # of no pixel
        (UNSIGNED, 12, -1, -1),
        (UNSIGNED, 16, -1, 65535),
        (UNSIGNED, 12, -61441, 4095),
        (UNSIGNED, 12, 65536, 0),
        (UNSIGNED.astype(np.uint8), 8, -1, 255),
        (UNSIGNED.astype(np.uint8), 8, -256, 0),
    ],
)
def test_a_padding_value_of_the_wrong_sign_is_turned(stored, bits, value, found):
    assert _with_sign_of(stored, header(bits), value) == found


@pytest.mark.parametrize(("count", "believed"), [(99, True), (100, False)])
def test_padding_that_hides_nearly_all_is_not_believed(count, believed):
    stored = np.repeat(np.array([7, 1], np.uint16), [count, 100 - count]).reshape(10, 10)
    hidden = _hidden(stored, header(PixelPaddingValue=7), 1.0)
    assert (hidden is not None) == believed
    if believed:
        np.testing.assert_array_equal(hidden, stored == 7)


def test_padding_and_shutter_hide_together():
    stored = np.arange(100, dtype=np.uint16).reshape(10, 10)
    shutter = {
        "ShutterShape": "rectangular",
        "ShutterUpperHorizontalEdge": 2,
        "ShutterLowerHorizontalEdge": 9,
        "ShutterLeftVerticalEdge": 3,
        "ShutterRightVerticalEdge": 8,
    }
    hidden = _hidden(stored, header(PixelPaddingValue=44, **shutter), 1.0)
    expected = np.ones((10, 10), bool)
    expected[1:9, 2:8] = False
    expected[4, 4] = True
    np.testing.assert_array_equal(hidden, expected)
    assert _hidden(stored, header(), 1.0) is None


# -- the whole display ----------------------------------------------------------------------------

NAME = Path("shown.dcm")


def shown(stored, bits=12, *, invert=False, **elements):
    elements = {"PhotometricInterpretation": "MONOCHROME2"} | elements
    return display(stored, header(bits, **elements), NAME, aspect=1.0, invert=invert)


@pytest.mark.parametrize("kind", [np.uint8, np.int8, np.uint16, np.int16, np.uint32, np.int32])
def test_films_of_every_type_are_shown_by_their_window(kind):
    stored = np.array([[0, 10, 20], [30, 40, 50]], kind)
    bits = 8 * stored.dtype.itemsize
    elements = {"WindowCenter": 25.5, "WindowWidth": 51}
    pixels = shown(stored, bits, **elements).pixels()
    assert pixels.dtype == np.float32
    np.testing.assert_allclose(pixels, stored / 50, atol=1e-6)


@pytest.mark.parametrize("kind", [np.uint16, np.int32])
def test_padding_is_black_in_films_of_every_type(kind):
    stored = np.array([[0, 10, 20], [30, 40, 50]], kind)
    elements = {"WindowCenter": 25.5, "WindowWidth": 51, "PixelPaddingValue": 40}
    for invert in (False, True):
        pixels = shown(stored, 16, invert=invert, **elements).pixels()
        assert pixels[1, 1] == 0
        assert pixels[0, 0] == invert and pixels[1, 2] == (not invert)


@pytest.mark.parametrize("order", ["<", ">"])
def test_films_of_either_byte_order_are_shown_alike(order):
    stored = np.array([[0, 1000], [2000, 4095]], f"{order}u2")
    pixels = shown(stored, WindowCenter=2048, WindowWidth=4096).pixels()
    np.testing.assert_allclose(pixels, stored.astype(float) / 4095, atol=1e-6)


@pytest.mark.parametrize(
    ("elements", "negative"),
    [
        ({}, False),
        ({"PhotometricInterpretation": "MONOCHROME1"}, True),
        ({"PresentationLUTShape": "INVERSE"}, True),
        ({"PresentationLUTShape": "inverse "}, True),
        ({"PresentationLUTShape": "IDENTITY"}, False),
        ({"PhotometricInterpretation": "MONOCHROME1", "PresentationLUTShape": "INVERSE"}, True),
    ],
)
@pytest.mark.parametrize("invert", [False, True])
def test_a_film_is_inverted_once_for_its_header_and_once_for_the_user(elements, negative, invert):
    stored = np.array([[0, 2047, 4095]], np.uint16)
    more = {"WindowCenter": 2048, "WindowWidth": 4096}
    pixels = shown(stored, invert=invert, **more, **elements).pixels()
    expected = stored / 4095
    np.testing.assert_allclose(pixels, 1 - expected if negative != invert else expected, atol=1e-6)


def test_colours_have_no_polarity_but_the_users():
    grey = films.bone(top=255).astype(np.uint8)
    rgb = np.stack([grey] * 3, -1)
    elements = {"PhotometricInterpretation": "RGB", "PresentationLUTShape": "INVERSE"}
    for invert in (False, True):
        pixels = shown(rgb, 8, invert=invert, **elements).pixels()
        expected = 1 - grey / 255 if invert else grey / 255
        np.testing.assert_allclose(pixels, expected, atol=1e-6)


def test_colours_are_black_behind_the_shutter():
    rgb = np.full((20, 30, 3), 200, np.uint8)
    edges = {"Upper": 3, "Lower": 20, "Left": 1, "Right": 30}
    sides = {"Upper": "Horizontal", "Lower": "Horizontal", "Left": "Vertical", "Right": "Vertical"}
    shutter = {f"Shutter{name}{sides[name]}Edge": edge for name, edge in edges.items()}
    pixels = shown(rgb, 8, PhotometricInterpretation="RGB", ShutterShape="RECTANGULAR", **shutter)
    assert (pixels.pixels()[:2] == 0).all() and (pixels.pixels()[2:] > 0.7).all()


def test_a_palette_that_cannot_be_read_is_refused_in_words():
    with pytest.raises(RadiographError) as refusal:
        shown(np.zeros((20, 20), np.uint8), 8, PhotometricInterpretation="PALETTE COLOR")
    words = "shown.dcm: its palette is damaged; export it again as greyscale"
    assert str(refusal.value) == words


def test_a_window_that_shows_nothing_gives_way_to_percentiles():
    stored = np.arange(1000, dtype=np.uint16).reshape(20, 50)
    for kind in (np.uint16, np.int32):
        pixels = shown(stored.astype(kind), 16, WindowCenter=-500, WindowWidth=10).pixels()
        assert pixels.min() == 0 and pixels.max() == 1
        np.testing.assert_allclose(pixels, np.clip((stored - 4.995) / 989.01, 0, 1), atol=1e-5)
