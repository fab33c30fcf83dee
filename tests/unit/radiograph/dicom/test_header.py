"""Headers with errors are read as intended."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pydicom
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian

from boneseg.errors import RadiographError
from boneseg.radiograph.dicom.header import (
    fields_of,
    items_of,
    numbers_of,
    select_frame,
    text_of,
    texts_of,
)
from boneseg.radiograph.film import SPACINGS, believed_spacing
from boneseg.radiograph.read import read_radiograph
from tests.support import films

FULL = {"WindowCenter": 2048, "WindowWidth": 4096}
BONE = films.bone() / np.float32(4095)


def of(keyword: str, vr: str, value: object) -> Dataset:
    dataset = Dataset()
    dataset.add_new(keyword, vr, value)
    return dataset


@pytest.mark.parametrize(
    ("vr", "value", "numbers"),
    [
        ("DS", "0.15\\0.2", [0.15, 0.2]),
        ("LO", "0.15\\0.2", [0.15, 0.2]),
        ("LT", " 0.15 \\0.2\0", [0.15, 0.2]),
        ("ST", "0,15\\0,2", [0.15, 0.2]),  # a decimal comma
        ("LT", "1.5E-1\\.2", [0.15, 0.2]),
        ("FD", [0.15, 0.2], [0.15, 0.2]),
        ("LT", "0.15\\NaN", [0.15, None]),
        ("LT", "1e999\\0.2", [None, 0.2]),
        ("LT", "inf\\0.2", [None, 0.2]),
        ("LT", "1_5\\0x2", [None, None]),
        ("LT", "\\0.2", [None, 0.2]),
        ("LT", "", []),
        ("LT", " \0", []),
        ("SQ", [Dataset()], [None]),
    ],
)
def test_numbers_are_read_whatever_their_representation(vr, value, numbers):
    dataset = of("PixelSpacing", vr, value)
    assert fields_of(dataset, "PixelSpacing") == pytest.approx(numbers)
    whole = numbers if None not in numbers else []
    assert numbers_of(dataset, "PixelSpacing") == pytest.approx(whole)


@given(st.lists(st.floats(-1e9, 1e9), max_size=4))
def test_numbers_as_text_are_those_numbers(values):
    dataset = of("WindowCenter", "LT", "\\".join(map(repr, values)))
    assert numbers_of(dataset, "WindowCenter") == values


@pytest.mark.parametrize("text", ["CR", " CR", "CR \0", "CR\0\0", "CR\\DX", "\tCR\r\n"])
@pytest.mark.parametrize("vr", ["CS", "LT", "UN", "PN"])
def test_text_is_read_without_its_padding(vr, text):
    dataset = of("Modality", vr, text.encode() if vr == "UN" else text)
    assert text_of(dataset, "Modality") == "CR"
    assert texts_of(dataset, "Modality") == (["CR", "DX"] if "\\" in text else ["CR"])


def test_a_value_that_is_not_a_sequence_has_no_items():
    assert items_of(Dataset(), "VOILUTSequence") == []
    assert items_of(of("VOILUTSequence", "LO", "table"), "VOILUTSequence") == []
    assert items_of(of("VOILUTSequence", "SQ", []), "VOILUTSequence") == []


@pytest.mark.parametrize("side", [1e200, 1e-200, 0.0009, 10.1, 0, -0.1, float("inf")])
@pytest.mark.parametrize("place", [0, 1])
def test_a_spacing_beyond_any_detector_is_unknown(tmp_path, side, place):
    sides = [0.2, 0.2]
    sides[place] = side
    assert believed_spacing(sides) is None
    texts = [f"{number:g}".upper() for number in sides]
    path = films.dicom(tmp_path / "a.dcm", films.bone(), PixelSpacing=texts)
    film = read_radiograph(path)
    assert (film.spacing_mm, film.spacing_kind, film.aspect) == (None, "unknown", 1)
    path = films.dicom(
        tmp_path / "a.dcm", films.bone(), PixelSpacing=texts, ImagerPixelSpacing=[0.3, 0.3]
    )
    film = read_radiograph(path)
    assert (film.spacing_mm, film.spacing_kind) == ((0.3, 0.3), "detector")


@pytest.mark.parametrize("side", SPACINGS)
def test_the_ends_of_the_accepted_range_are_accepted(side):
    assert believed_spacing([side, 1.0]) == (side, 1.0)


@pytest.mark.parametrize("sides", [[], [0.1], [0.1, 0.1, 0.1]])
def test_a_spacing_has_two_sides(sides):
    assert believed_spacing(sides) is None


def spliced(path: Path, old: bytes, new: bytes, stored=None, **elements) -> Path:
    """A film, one element of which is other bytes."""
    films.dicom(path, films.bone() if stored is None else stored, **elements)
    data = path.read_bytes()
    assert data.count(old) == 1
    path.write_bytes(data.replace(old, new))
    return path


SYNTAX = b"\x02\0\x10\0UI\x14\0" + b"1.2.840.10008.1.2.1\0"


@pytest.mark.parametrize(
    "syntax",
    [
        SYNTAX[:-1] + b" ",
        SYNTAX.replace(b"\x14", b"\x16") + b"\0\0",
        b"\x02\0\x10\0UI\0\0",
        b"\x02\0\x10\0UI\x12\0" + str(ImplicitVRLittleEndian).encode() + b"\0",  # and is explicit
    ],
)
def test_a_transfer_syntax_that_is_padded_empty_or_wrong(tmp_path, syntax):
    path = spliced(tmp_path / "a.dcm", SYNTAX, syntax, **FULL)
    np.testing.assert_allclose(read_radiograph(path).pixels, BONE, atol=1e-6)


@pytest.mark.parametrize("count", [b"0 ", b"-1", b"", b"1.0 ", b" 1  ", b"x ", b"\0\0"])
def test_an_invalid_count_of_frames_is_one(tmp_path, count):
    new = b"\x28\0\x08\0IS" + len(count).to_bytes(2, "little") + count
    path = spliced(
        tmp_path / "a.dcm", b"\x28\0\x08\0IS\x02\0" + b"7 ", new, NumberOfFrames=7, **FULL
    )
    np.testing.assert_allclose(read_radiograph(path).pixels, BONE, atol=1e-6)


@pytest.mark.parametrize(
    "layout",
    [
        *({"HighBit": bit, "BitsStored": 12} for bit in (None, 0, 5, 12, 15, 40)),
        *({"PixelRepresentation": word} for word in (2, 65535)),
        {"PlanarConfiguration": 7},
    ],
)
def test_a_layout_that_contradicts_itself(tmp_path, layout):
    """A High Bit that cannot be, or that the pixels belie, is taken for BitsStored - 1."""
    path = films.dicom(tmp_path / "a.dcm", films.bone(), **layout, **FULL)
    np.testing.assert_allclose(read_radiograph(path).pixels, BONE, atol=1e-6)


@pytest.mark.parametrize("word", [None, 7])
def test_colours_of_unknown_planar_configuration_are_by_pixel(tmp_path, word):
    grey = films.bone(top=255).astype(np.uint8)
    colours = np.stack([grey] * 3, -1)
    path = films.dicom(tmp_path / "a.dcm", colours, PlanarConfiguration=word)
    np.testing.assert_allclose(read_radiograph(path).pixels, grey / 255, atol=1e-6)


@pytest.mark.parametrize("bits", [0, 17, 40])
def test_bits_that_cannot_be_are_refused_in_one_line(tmp_path, bits):
    path = films.dicom(tmp_path / "a.dcm", films.bone(), BitsStored=bits, HighBit=0, **FULL)
    with pytest.raises(RadiographError, match="cannot be decoded"):
        read_radiograph(path)


@pytest.mark.parametrize("bits", [32])
@pytest.mark.parametrize("signed", [False, True])
def test_pixels_of_32_bits(tmp_path, bits, signed):
    stored = films.bone().astype(np.int32 if signed else np.uint32) * 1000
    stored -= 100_000 if signed else 0
    center = 2_047_500.5 - (100_000 if signed else 0)
    window = {"WindowCenter": center, "WindowWidth": 4_095_001}
    path = films.dicom(tmp_path / "a.dcm", stored, BitsStored=bits, **window)
    np.testing.assert_allclose(read_radiograph(path).pixels, BONE, atol=1e-5)


@pytest.mark.parametrize("vr", ["C[", "ZZ", "\0\0", "cs"])
@pytest.mark.parametrize(
    "keyword",
    ["Modality", "SamplesPerPixel", "PhotometricInterpretation", "Rows", "BitsStored"],
)
def test_an_unknown_representation_is_read_by_its_bytes(tmp_path, vr, keyword):
    """pydicom raises NotImplementedError for each."""
    path = films.dicom(tmp_path / "a.dcm", films.bone(), ExplicitVRLittleEndian, **FULL)
    tag = pydicom.datadict.tag_for_keyword(keyword)
    head = (tag >> 16).to_bytes(2, "little") + (tag & 0xFFFF).to_bytes(2, "little")
    known = head + pydicom.datadict.dictionary_VR(tag).encode()
    data = path.read_bytes()
    assert data.count(known) == 1
    path.write_bytes(data.replace(known, head + vr.encode()))
    try:
        np.testing.assert_allclose(read_radiograph(path).pixels, BONE, atol=1e-6)
    except RadiographError as refusal:
        assert "\n" not in str(refusal)
        assert vr in ("\0\0", "cs")  # taken for the length of an implicit element


def window(center: int | None) -> Dataset:
    """The groups of a frame, or of all frames, with a window, which may be empty."""
    item, groups = Dataset(), Dataset()
    item.WindowCenter, item.WindowWidth = center, center and 100
    groups.FrameVOILUTSequence = [item]
    return groups


@pytest.mark.parametrize(("index", "center"), [(0, 7), (1, 5)])
def test_a_frame_has_its_own_window_before_that_of_all_and_no_table(
    index: int, center: int
) -> None:
    film = Dataset()
    film.VOILUTSequence, film.RescaleSlope = [Dataset()], 2
    film.SharedFunctionalGroupsSequence = [window(5)]
    film.PerFrameFunctionalGroupsSequence = [window(7), window(None)]
    select_frame(film, index)
    assert (film.WindowCenter, film.WindowWidth) == (center, 100)
    assert "VOILUTSequence" not in film and film.RescaleSlope == 2
