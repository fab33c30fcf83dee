"""Elements of a header, its frames, spacing and layout: function by function, without a file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.tag import Tag
from pydicom.uid import ExplicitVRLittleEndian, RLELossless

from boneseg.errors import RadiographError
from boneseg.radiograph.dicom.header import (
    _FRAME_GROUPS,
    _has_value,
    fields_of,
    is_little_endian,
    items_of,
    normalise,
    numbers_of,
    ratio_of,
    select_frame,
    spacing_of,
    text_of,
    texts_of,
    value_of,
)


def of(keyword: str, vr: str, value: object) -> Dataset:
    dataset = Dataset()
    dataset.add_new(keyword, vr, value)
    return dataset


def window(center: int | None) -> Dataset:
    """The groups of a frame, or of all frames, with a window, which may be empty."""
    item, groups = Dataset(), Dataset()
    item.WindowCenter, item.WindowWidth = center, center and 100
    groups.FrameVOILUTSequence = [item]
    return groups


def raw(keyword: str, vr: str, value: bytes | None, order: str = "<") -> Dataset:
    """An element as it is in a file, which pydicom has not converted."""
    tag = Tag(pydicom.datadict.tag_for_keyword(keyword))
    element = RawDataElement(tag, vr, len(value or b""), value, 0, False, order == "<")
    dataset = Dataset({tag: element})
    dataset.set_original_encoding(False, order == "<")
    return dataset


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize(
    ("keyword", "dtype", "numbers"),
    [
        ("Rows", "u2", [258, 65535]),  # US
        ("TagAngleSecondAxis", "i2", [-2, 258]),  # SS
        ("SimpleFrameList", "u4", [65538, 2**32 - 1]),  # UL
        ("ReferencePixelX0", "i4", [-2, 65538]),  # SL
        ("RecommendedDisplayFrameRateInFloat", "f4", [0.5, -2]),  # FL
        ("RealWorldValueSlope", "f8", [0.1, -2]),  # FD
    ],
)
def test_binary_numbers_in_bytes_are_of_the_type_in_the_dictionary(order, keyword, dtype, numbers):
    """Also where they end within a number."""
    content = np.array(numbers, order + dtype).tobytes()
    for end in (b"", b"\1"):
        dataset = raw(keyword, "ZZ", content + end, order)
        assert is_little_endian(dataset) == (order == "<")
        assert numbers_of(dataset, keyword) == pytest.approx(numbers)


@pytest.mark.parametrize("keyword", ["PixelSpacing", "NumberOfFrames"])
def test_numbers_as_text_in_bytes_are_text(keyword):
    assert numbers_of(raw(keyword, "ZZ", b" 3\\4 "), keyword) == [3, 4]


def test_a_dataset_that_was_never_in_a_file_is_little_endian():
    assert is_little_endian(Dataset())


def test_what_pydicom_cannot_convert_are_the_bytes_of_the_file():
    assert value_of(raw("Rows", "ZZ", b"ab"), "Rows") == b"ab"
    assert value_of(raw("Rows", "US", b"abc"), "Rows") == b"abc"
    assert value_of(raw("PatientName", "PN", b"Li^Bo"), "PatientName") == "Li^Bo"
    assert value_of(raw("PixelSpacing", "DS", b"1\\2"), "PixelSpacing") == [1, 2]
    assert value_of(Dataset(), "Rows") is None
    assert value_of(Dataset(), "NoSuchKeyword") is None
    assert texts_of(raw("Modality", "ZZ", b"C\xe9\\ DX "), "Modality") == ["Cé", "DX"]
    assert texts_of(Dataset(), "Modality") == [] and text_of(Dataset(), "Modality") == ""
    assert texts_of(of("Rows", "US", 7), "Rows") == ["7"]
    assert texts_of(of("PixelSpacing", "DS", ["1", "2"]), "PixelSpacing") == ["1", "2"]


@pytest.mark.parametrize(
    ("text", "number"),
    [
        *(("+1.5", 1.5), ("-2", -2), ("3.", 3), (".5", 0.5), ("1e2", 100), ("1E+2", 100)),
        *(("2e-1", 0.2), ("1.5e0", 1.5), ("\t7\n", 7), ("1,5", 1.5)),
        *((text, None) for text in ("", ".", "e5", "1e", "1.2.3", "1 2", "+-1", "٣", "1,2,3")),
    ],
)
def test_a_number_is_decimal_text(text, number):
    assert fields_of(of("PixelSpacing", "LT", text + "\\0"), "PixelSpacing") == [number, 0]


def test_items_are_those_of_a_sequence():
    items = [Dataset(), Dataset()]
    assert items_of(of("VOILUTSequence", "SQ", items), "VOILUTSequence") == items
    assert items_of(raw("VOILUTSequence", "ZZ", b"1234"), "VOILUTSequence") == []


# -- frames ---------------------------------------------------------------------------------------

GROUPS = [(sequence, keyword) for sequence, words in _FRAME_GROUPS.items() for keyword in words]


def group(sequence: str, **elements: object) -> Dataset:
    """The functional groups of a frame, with one of them; a second item, which has no meaning."""
    item, groups = Dataset(), Dataset()
    for keyword, value in elements.items():
        item.add_new(keyword, pydicom.datadict.dictionary_VR(keyword), value)
    setattr(groups, sequence, [item, other_item(elements)])
    return groups


def other_item(elements: dict[str, object]) -> Dataset:
    item = Dataset()
    for keyword in elements:
        item.add_new(keyword, pydicom.datadict.dictionary_VR(keyword), some(keyword, 9))
    return item


def some(keyword: str, number: int) -> object:
    """A value of an element, by a number."""
    vr = pydicom.datadict.dictionary_VR(keyword)
    if vr == "SQ":
        item = Dataset()
        item.Rows = number
        return [item]
    return f"T{number}" if vr in ("CS", "LO") else str(number) if vr in ("DS", "IS") else number


@pytest.mark.parametrize(("sequence", "keyword"), GROUPS)
def test_a_group_of_a_frame_takes_the_place_of_its_kind_alone(sequence, keyword):
    for where, index in (("Shared", 3), ("PerFrame", 1)):
        film = Dataset()
        for known in {word for _, word in GROUPS}:
            film.add_new(known, pydicom.datadict.dictionary_VR(known), some(known, 1))
        found = group(sequence, **{keyword: some(keyword, 2)})
        frames = [Dataset(), found, Dataset()] if where == "PerFrame" else [found]
        setattr(film, f"{where}FunctionalGroupsSequence", frames)
        before = {known: film[known].value for _, known in GROUPS}
        select_frame(film, index)
        assert film[keyword].value == some(keyword, 2)
        for known in {word for _, word in GROUPS} - {keyword}:
            assert (known in film) == (known not in _FRAME_GROUPS[sequence])
            assert known not in film or film[known].value == before[known]


def test_only_the_first_item_of_the_shared_groups_and_no_other_frame_counts():
    film = Dataset()
    film.SharedFunctionalGroupsSequence = [window(5), window(6)]
    film.PerFrameFunctionalGroupsSequence = [window(None), window(7)]
    for index in (0, 2):
        select_frame(film, index)
        assert film.WindowCenter == 5
    assert not _has_value(raw("Rows", "US", b"abc"), "Rows")  # damaged


# -- what a film is -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("pixel", "plate", "scanned", "calibration", "spacing", "kind"),
    [
        (None, None, None, None, None, "unknown"),
        ([0.2, 0.3], None, None, None, (0.2, 0.3), "uncalibrated"),
        ([0.2, 0.3], None, None, "GEOMETRY", (0.2, 0.3), "calibrated"),
        ([0.2, 0.3], [0.2, 0.3], None, "fiducial", (0.2, 0.3), "calibrated"),
        ([0.2, 0.3], [0.2, 0.3], None, "OTHER", (0.2, 0.3), "detector"),
        ([0.2, 0.3], [0.2, 0.30002], None, None, (0.2, 0.3), "detector"),
        ([0.2, 0.3], [0.2, 0.3001], None, None, (0.2, 0.3), "calibrated"),
        ([0.2, 0.3], [0.25, 0.3], None, None, (0.2, 0.3), "calibrated"),
        (None, [0.2, 0.3], None, None, (0.2, 0.3), "detector"),
        (None, None, [0.2, 0.3], None, (0.2, 0.3), "detector"),
        (None, [0.2, 0.3], [0.4, 0.4], None, (0.2, 0.3), "detector"),
        (None, [0.2, 0.3], None, "GEOMETRY", (0.2, 0.3), "detector"),
        ([1, 1], None, None, None, None, "placeholder"),
        (None, [1, 1], None, None, None, "placeholder"),
        ([1, 1], [1, 1], None, None, None, "placeholder"),
        ([1, 1], [0.2, 0.2], None, None, (0.2, 0.2), "detector"),
        ([0.2, 0.2], [1, 1], None, None, (0.2, 0.2), "calibrated"),
        ([1, 1], None, None, "FIDUCIAL", (1, 1), "calibrated"),
        ([1, 2], None, None, None, (1, 2), "uncalibrated"),
    ],
)
def test_where_a_spacing_is_from(pixel, plate, scanned, calibration, spacing, kind):
    film = Dataset()
    film.PixelSpacing, film.ImagerPixelSpacing = pixel, plate
    film.NominalScannedPixelSpacing = scanned
    film.add_new("PixelSpacingCalibrationType", "LT", calibration)
    assert spacing_of(film) == (spacing, kind)


@pytest.mark.parametrize(
    ("sides", "ratio"),
    [
        ([4, 3], (4, 3)),
        ([1, 1], (1, 1)),
        ([0, 3], None),
        ([4], None),
        ([4, 3, 2], None),
        ([], None),
    ],
)
def test_a_ratio_has_two_sides_of_a_length(sides, ratio):
    assert ratio_of(of("PixelAspectRatio", "LT", "\\".join(map(str, sides)))) == ratio


def layout(**more: object) -> Dataset:
    """A header of 2 x 3 grey pixels."""
    film = Dataset()
    film.file_meta = FileMetaDataset()
    film.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    film.Rows, film.Columns, film.SamplesPerPixel, film.PixelRepresentation = 2, 3, 1, 0
    film.BitsAllocated, film.BitsStored, film.HighBit = 8, 8, 7
    film.PhotometricInterpretation = "MONOCHROME2"
    film.add_new("PixelData", "OB", bytes(6))
    for keyword, value in more.items():
        if keyword == "syntax":
            film.file_meta.TransferSyntaxUID = value
        elif value is None:
            del film[keyword]
        else:
            vr = "LT" if isinstance(value, str) else "OB" if isinstance(value, bytes) else "US"
            film.add_new(keyword, vr, value)
    return film


COUNTS = ("Rows", "Columns", "SamplesPerPixel", "BitsAllocated", "BitsStored", "HighBit")


@pytest.mark.parametrize("keyword", [*COUNTS, "PixelRepresentation", "PlanarConfiguration"])
def test_counts_as_text_become_numbers(keyword):
    film = layout(**{keyword: " 1 "})
    normalise(film, Path("a.dcm"))
    assert (film[keyword].VR, film[keyword].value) == ("US", 1)


@pytest.mark.parametrize("keyword", [*COUNTS[:-1], "PixelRepresentation"])
@pytest.mark.parametrize("value", [None, "", "x"])
def test_a_layout_that_is_missing_is_named(keyword, value):
    words = rf"^a\.dcm: its pixel layout is unknown \({keyword} is missing\); export it again$"
    with pytest.raises(RadiographError, match=words):
        normalise(layout(**{keyword: value}), Path("a.dcm"))


def test_what_is_not_needed_of_the_layout_may_be_missing_or_damaged():
    film = layout(HighBit="x", PlanarConfiguration="", PixelRepresentation=5, NumberOfFrames="x")
    normalise(film, Path("a.dcm"))
    assert "HighBit" not in film and "PlanarConfiguration" not in film
    assert film.PixelRepresentation == 0 and film.NumberOfFrames == 1
    film = layout(PixelRepresentation=1, NumberOfFrames="7")
    normalise(film, Path("a.dcm"))
    assert (film.PixelRepresentation, film.NumberOfFrames) == (1, 7)
    assert film["NumberOfFrames"].VR == "IS"
    film = layout()
    normalise(film, Path("a.dcm"))
    assert "NumberOfFrames" not in film


@pytest.mark.parametrize(("word", "planar"), [(0, 0), (1, 1), (2, 0), (None, 0)])
def test_colours_are_by_pixel_unless_the_file_says_otherwise(word, planar):
    more = {} if word is None else {"PlanarConfiguration": word}
    film = layout(SamplesPerPixel=3, PhotometricInterpretation="RGB", **more)
    normalise(film, Path("a.dcm"))
    assert film.PlanarConfiguration == planar


JPEG_8, JPEG_12 = "1.2.840.10008.1.2.4.50", "1.2.840.10008.1.2.4.51"


@pytest.mark.parametrize(
    ("word", "more", "found"),
    [
        ("MONOCHROME1", {}, "MONOCHROME1"),
        (" monochrome 2 ", {}, "MONOCHROME2"),
        ("PALETTE_COLOR", {}, "PALETTE COLOR"),
        ("palette\tcolor", {}, "PALETTE COLOR"),
        ("RGB", {}, "MONOCHROME2"),
        ("YBR_FULL", {}, "MONOCHROME2"),
        *((word, {"SamplesPerPixel": 3}, "RGB") for word in ("RGB", "MONOCHROME2", "", "HSV")),
        ("PALETTE COLOR", {"SamplesPerPixel": 3}, "RGB"),
        ("YBRFULL", {"SamplesPerPixel": 3}, "YBR_FULL"),
        ("YBR_ICT", {"SamplesPerPixel": 3}, "YBR_ICT"),
        ("YBR_RCT", {"SamplesPerPixel": 3}, "YBR_RCT"),
        ("YBR PARTIAL 420", {"SamplesPerPixel": 3}, "YBR_PARTIAL_420"),
        ("YBR_FULL_422", {"SamplesPerPixel": 3, "PixelData": bytes(17)}, "YBR_FULL_422"),
        ("YBR_FULL_422", {"SamplesPerPixel": 3, "PixelData": bytes(18)}, "YBR_FULL"),
        (
            "YBR_FULL_422",
            {"SamplesPerPixel": 3, "PixelData": bytes(18), "NumberOfFrames": "2"},
            "YBR_FULL_422",
        ),
        (
            "YBR_FULL_422",
            {"SamplesPerPixel": 3, "PixelData": bytes(36), "NumberOfFrames": "2"},
            "YBR_FULL",
        ),
        (
            "YBR_FULL_422",
            {"SamplesPerPixel": 3, "PixelData": bytes(35), "BitsAllocated": 16},
            "YBR_FULL_422",
        ),
        (
            "YBR_FULL_422",
            {"SamplesPerPixel": 3, "PixelData": bytes(18), "BitsAllocated": 1},
            "YBR_FULL",
        ),
        ("YBR_FULL_422", {"SamplesPerPixel": 3, "PixelData": None}, "YBR_FULL_422"),
        ("YBR_FULL_422", {"SamplesPerPixel": 3, "PixelData": b""}, "YBR_FULL_422"),
        (
            "YBR_FULL_422",
            {"SamplesPerPixel": 3, "PixelData": bytes(18), "syntax": RLELossless},
            "YBR_FULL_422",
        ),
        *(
            (word, {"SamplesPerPixel": 3, "syntax": syntax}, found)
            for syntax in (JPEG_8, JPEG_12)
            for word, found in (
                ("RGB", "RGB"),
                ("YBR_FULL", "YBR_FULL"),
                ("YBR_RCT", "YBR_FULL_422"),
                ("YBR_FULL_422", "YBR_FULL_422"),
                ("MONOCHROME2", "RGB"),
            )
        ),
    ],
)
def test_the_colours_of_a_film_are_said_by_one_word_of_the_standard(word, more, found):
    film = layout(PhotometricInterpretation=word, **more)
    normalise(film, Path("a.dcm"))
    element = film["PhotometricInterpretation"]
    assert (element.VR, element.value) == ("CS", found)


def test_colours_of_a_header_without_a_transfer_syntax_are_as_it_says():
    film = layout(SamplesPerPixel=3, PhotometricInterpretation="YBR_FULL_422")
    del film.file_meta
    normalise(film, Path("a.dcm"))
    assert film.PhotometricInterpretation == "YBR_FULL_422"


@pytest.mark.parametrize("word", ["", "HSV", "MONOCHROME"])
def test_grey_of_unknown_polarity_is_refused(word):
    words = (
        r"^a\.dcm: its Photometric Interpretation is missing or unknown, so its polarity is "
        r"unknown; export it again$"
    )
    with pytest.raises(RadiographError, match=words):
        normalise(layout(PhotometricInterpretation=word), Path("a.dcm"))
