"""From stored values to grey: tables, windows, padding and polarity, odd ones too."""

from __future__ import annotations

import numpy as np
import pydicom
import pytest
from pydicom import uid as classes
from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from boneseg.radiograph.read import read_radiograph
from tests.support import films

FULL = {"WindowCenter": 2048, "WindowWidth": 4096}  # 0..4095 to 0..1
BONE = films.bone() / np.float32(4095)
SQUARE = [round(4095 * (k / 4095) ** 2) for k in range(4096)]
BIPLANE = "1.2.840.10008.5.1.4.1.1.12.3"
PRIVATE = "1.2.826.0.1.3680043.8.498.1"


def pixels(path, stored=None, syntax=ExplicitVRLittleEndian, **elements):
    stored = films.bone() if stored is None else stored
    return read_radiograph(films.dicom(path / "a.dcm", stored, syntax, **elements)).pixels


def looked_up(entries, stored=None, first=0, top=4095):
    """What a table gives of stored values, its ends held beyond it."""
    stored = films.bone().astype(int) if stored is None else stored.astype(int)
    return np.asarray(entries)[np.clip(stored - first, 0, len(entries) - 1)] / top


# --- tables ---


@pytest.mark.parametrize("sequence", ["VOILUTSequence", "ModalityLUTSequence"])
@pytest.mark.parametrize("packed", [None, "<u2"])
@pytest.mark.parametrize("lacking", [1, 2, 100])
def test_a_table_shorter_than_its_descriptor_is_as_long_as_it_is(
    tmp_path, sequence, packed, lacking
):
    item = films.table(SQUARE[:-lacking], bits=12, packed=packed)
    item[0].LUTDescriptor = [4096, 0, 12]
    more = FULL if sequence == "ModalityLUTSequence" else {}
    found = pixels(tmp_path, **{sequence: item}, **more)
    np.testing.assert_allclose(found, looked_up(SQUARE[:-lacking]), atol=1e-6)


@pytest.mark.parametrize("packed", [None, "<u2"])
def test_a_table_longer_than_its_descriptor_is_cut(tmp_path, packed):
    item = films.table([*SQUARE[:4000], *[0] * 96], bits=12, packed=packed)
    item[0].LUTDescriptor = [4000, 0, 12]
    found = pixels(tmp_path, VOILUTSequence=item)
    np.testing.assert_allclose(found, looked_up(SQUARE[:4000]), atol=1e-6)


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ExplicitVRBigEndian])
@pytest.mark.parametrize("vr", ["OW", "US"])
@pytest.mark.parametrize("count", [255, 256])
def test_bytes_that_share_words_are_taken_apart(tmp_path, syntax, vr, count):
    """PS3.3 C.11.1.1.1: 8 bits allocated; the first entry is the low byte of a word."""
    entries = [round(255 * (k / 255) ** 2) for k in range(count)]
    padded = entries + [0] * (count % 2)
    words = [low | high << 8 for low, high in zip(padded[::2], padded[1::2], strict=True)]
    order = "<" if syntax == ExplicitVRLittleEndian else ">"
    item = Dataset()
    item.add_new("LUTDescriptor", "US", [count, 0, 8])
    item.add_new("LUTData", vr, words if vr == "US" else np.array(words, f"{order}u2").tobytes())
    stored = films.bone(top=255)
    found = pixels(tmp_path, stored, syntax, VOILUTSequence=[item])
    np.testing.assert_allclose(found, looked_up(entries, stored, top=255), atol=1e-6)


@pytest.mark.parametrize("count", [200, 256, 300])
def test_bytes_of_a_word_each_stay_so_whatever_the_count(tmp_path, count):
    entries = [round(255 * (k / 255) ** 2) for k in range(256)]
    item = films.table(entries, bits=8, packed="<u2")
    item[0].LUTDescriptor = [count, 0, 8]
    stored = films.bone(top=255)
    found = pixels(tmp_path, stored, VOILUTSequence=item)
    np.testing.assert_allclose(found, looked_up(entries[:count], stored, top=255), atol=1e-6)


@pytest.mark.parametrize("first", [-2048, 63488])
@pytest.mark.parametrize("packed", [None, "<u2"])
def test_the_first_value_mapped_has_the_sign_of_the_pixels(tmp_path, first, packed):
    """US 63,488 and SS -2,048 are the same sixteen bits."""
    stored = films.bone().astype(np.int16) - 2048
    item = films.table(SQUARE, bits=12, packed=packed)
    item[0].add_new("LUTDescriptor", "US" if first > 0 else "SS", [4096, first, 12])
    found = pixels(tmp_path, stored, BitsStored=12, VOILUTSequence=item)
    np.testing.assert_allclose(found, looked_up(SQUARE), atol=1e-6)


def test_the_first_value_mapped_of_pixels_without_a_sign_has_none(tmp_path):
    stored = films.bone() + np.uint16(50_000)
    item = films.table(SQUARE, bits=12, packed="<u2")
    item[0].add_new("LUTDescriptor", "SS", [4096, 50_000 - 65_536, 12])
    found = pixels(tmp_path, stored, VOILUTSequence=item)
    np.testing.assert_allclose(found, looked_up(SQUARE), atol=1e-6)


@pytest.mark.parametrize("packed", [None, "<u2"])
def test_a_count_of_zero_is_65536(tmp_path, packed):
    """C.11.1.1: the count is a US of 16 bits, and a table may have one entry more."""
    entries = [65535 - k for k in range(65536)]
    item = films.table(entries, packed=packed)
    assert item[0].LUTDescriptor[0] == 0
    stored = films.bone(top=65535)
    found = pixels(tmp_path, stored, VOILUTSequence=item)
    np.testing.assert_allclose(found, 1 - stored / 65535, atol=1e-6)


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian])
@pytest.mark.parametrize("vr", ["US", "SS", "OW", "UN"])
def test_a_table_is_read_whatever_its_representation(tmp_path, syntax, vr):
    entries = [16 * k for k in range(4096)]
    item = Dataset()
    item.add_new("LUTDescriptor", "US", [4096, 0, 16])
    data = np.array(entries, "<u2")
    item.add_new(
        "LUTData",
        vr,
        {"US": entries, "SS": data.view("<i2").tolist()}.get(vr, data.tobytes()),
    )
    found = pixels(tmp_path, None, syntax, VOILUTSequence=[item])
    np.testing.assert_allclose(found, looked_up(entries, top=65535), atol=1e-6)


def test_the_depth_in_the_descriptor_is_the_full_scale(tmp_path):
    """A table that ends at a quarter of 12 bits is a dark one; 16 bits are often claimed amiss."""
    quarter = [k // 4 for k in range(4096)]
    for bits, top in ((12, 4095), (13, 8191), (16, 1023)):
        found = pixels(tmp_path, VOILUTSequence=films.table(quarter, bits=bits))
        np.testing.assert_allclose(found, looked_up(quarter, top=top), atol=1e-6)


def broken(**elements):
    item = films.table(SQUARE, bits=12, packed="<u2")[0]
    for keyword, value in elements.items():
        del item[keyword]
        if value is not None:
            item.add_new(keyword, *value)
    return item


BROKEN = {
    "nothing": [],
    "an empty item": [Dataset()],
    "no data": [broken(LUTData=None)],
    "empty data": [broken(LUTData=("OW", b""))],
    "text": [broken(LUTData=("LO", "table"))],
    "no descriptor": [broken(LUTDescriptor=None)],
    "an empty descriptor": [broken(LUTDescriptor=("US", []))],
    "a short descriptor": [broken(LUTDescriptor=("US", [4096, 0]))],
    "a descriptor of text": [broken(LUTDescriptor=("LO", "many"))],
}


@pytest.mark.parametrize("sequence", ["VOILUTSequence", "ModalityLUTSequence"])
@pytest.mark.parametrize("items", BROKEN.values(), ids=BROKEN.keys())
def test_a_broken_table_is_passed_over_for_what_comes_next(tmp_path, sequence, items):
    found = pixels(tmp_path, **{sequence: items}, **FULL)
    np.testing.assert_allclose(found, BONE, atol=1e-6)
    if items and sequence == "VOILUTSequence":
        both = [*items, *films.table(SQUARE, bits=12)]
        found = pixels(tmp_path, VOILUTSequence=both, **FULL)
        np.testing.assert_allclose(found, looked_up(SQUARE), atol=1e-6)
    if sequence == "ModalityLUTSequence":
        halved = {"RescaleSlope": 0.5, "RescaleIntercept": 0, sequence: items}
        found = pixels(tmp_path, WindowCenter=1024, WindowWidth=2048, **halved)
        np.testing.assert_allclose(found, np.clip(films.bone() / 2 / 2047, 0, 1), atol=1e-6)


# --- windows and slopes ---


@pytest.mark.parametrize(
    ("center", "width"),
    [
        ("100\\2048", "-5\\4096"),
        ("100\\2048", "0\\4096"),
        ("\\2048", "50\\4096"),
        ("NaN\\2048", "50\\4096"),
        ("wide\\2048", "50\\4096"),
        ("1e999\\2048", "50\\4096"),
        ("2048", "4096\\100"),
        ("2048\\100", "4096"),
        (" 2048 ", "4096 "),
        ("2048,0", "4096,0"),
        ("2.048E3", "+4096."),
    ],
)
def test_the_first_window_that_is_one_counts(tmp_path, center, width):
    path = films.dicom(tmp_path / "a.dcm", films.bone(), WindowCenter=77, WindowWidth=88)
    dataset = pydicom.dcmread(path)
    for keyword, value in (("WindowCenter", center), ("WindowWidth", width)):
        dataset.add_new(keyword, "LT", value)  # which is written as it is
    dataset.save_as(path)
    data = path.read_bytes()
    for tag in (b"\x28\0\x50\x10", b"\x28\0\x51\x10"):
        data = data.replace(tag + b"LT", tag + b"DS")
    path.write_bytes(data)
    np.testing.assert_allclose(read_radiograph(path).pixels, BONE, atol=1e-6)


@pytest.mark.parametrize(
    ("slope", "intercept", "expected"),
    [
        ("", "", (1, 0)),
        ("2", "", (2, 0)),
        ("", "-1024", (1, -1024)),
        ("0", "-1024", (1, 0)),
        ("-1", "4095", (-1, 4095)),
        ("steep", "5", (1, 5)),
        ("1e308", "0", (1, 0)),  # as percentiles: no number is left to see
        ("0.5\0", "10 ", (0.5, 10)),
    ],
)
def test_slopes_and_intercepts(tmp_path, slope, intercept, expected):
    path = films.dicom(tmp_path / "a.dcm", films.bone(), RescaleSlope="77", RescaleIntercept="77")
    dataset = pydicom.dcmread(path)
    dataset.add_new("RescaleSlope", "LT", slope)
    dataset.add_new("RescaleIntercept", "LT", intercept)
    low, high = sorted(expected[0] * value + expected[1] for value in (0, 4095))
    dataset.WindowCenter, dataset.WindowWidth = (low + high + 1) / 2, high - low + 1
    dataset.save_as(path)
    found = read_radiograph(path).pixels
    if slope == "1e308":
        assert np.isfinite(found).all()
    else:
        np.testing.assert_allclose(found, BONE if expected[0] > 0 else 1 - BONE, atol=1e-5)


# --- padding ---


@pytest.mark.parametrize(
    ("vr", "value", "limit", "signed", "hidden"),
    [
        ("US", 63536, None, True, -2000),  # US of a film whose pixels are SS
        ("SS", -2000, None, True, -2000),
        ("US", 4095, None, False, 4095),
        ("US", 0, None, False, 0),
        ("US", 63536, 63540, True, -2000),
        ("SS", -2000, -1990, True, -2000),
        ("SS", -1990, -2000, True, -2000),
        ("LO", "-2000", None, True, -2000),
    ],
)
@pytest.mark.parametrize("bits", [12, 16])
def test_padding_has_the_sign_of_the_pixels(tmp_path, vr, value, limit, signed, hidden, bits):
    stored = (films.bone(top=2000) + 1).astype(np.int16 if signed else np.uint16)
    stored[:, :20] = hidden
    dataset = pydicom.dcmread(films.dicom(tmp_path / "a.dcm", stored, BitsStored=bits))
    dataset.add_new("PixelPaddingValue", vr, value)
    if limit is not None:
        dataset.add_new("PixelPaddingRangeLimit", vr, limit)
    dataset.save_as(tmp_path / "a.dcm")
    found = read_radiograph(tmp_path / "a.dcm").pixels
    assert (found[:, :20] == 0).all()
    rest = pixels(tmp_path, np.ascontiguousarray(stored[:, 20:]), BitsStored=bits)
    np.testing.assert_allclose(found[:, 20:], rest, atol=1e-6)


@pytest.mark.parametrize("value", [[], "none", 65535])
def test_padding_that_no_pixel_can_have_hides_nothing(tmp_path, value):
    dataset = pydicom.dcmread(films.dicom(tmp_path / "a.dcm", films.bone(), BitsStored=12, **FULL))
    vr = "LO" if isinstance(value, str) else "US"
    dataset.add_new("PixelPaddingValue", vr, value)
    dataset.save_as(tmp_path / "a.dcm")
    np.testing.assert_allclose(read_radiograph(tmp_path / "a.dcm").pixels, BONE, atol=1e-6)


# --- what the standard says of a kind of object ---


@pytest.mark.parametrize("relation", ["LOG", None])
@pytest.mark.parametrize(
    ("kind", "modality", "applied"),
    [
        (classes.XRayAngiographicImageStorage, "XA", False),
        (classes.XRayRadiofluoroscopicImageStorage, "RF", False),
        (classes.EnhancedXAImageStorage, "XA", False),
        (classes.EnhancedXRFImageStorage, "RF", False),
        (BIPLANE, "XA", False),
        (PRIVATE, "XA", False),
        (PRIVATE, "RF", False),
        (classes.SecondaryCaptureImageStorage, "XA", True),
        (classes.ComputedRadiographyImageStorage, "CR", True),
        (classes.DigitalXRayImageStorageForPresentation, "DX", True),
        (classes.DigitalXRayImageStorageForProcessing, "DX", True),
        (PRIVATE, "DX", True),
    ],
)
def test_modality_tables_of_xa_and_rf_are_not_for_display(
    tmp_path, kind, modality, applied, relation
):
    """They lead back to beam intensity, for subtraction (PS3.3 A.14.3, A.16.3; PS3.4 N.2.5)."""
    more = {"SOPClassUID": kind, "Modality": modality, **FULL}
    if relation:
        more["PixelIntensityRelationship"] = relation
    found = pixels(tmp_path, ModalityLUTSequence=films.table(SQUARE, bits=12), **more)
    np.testing.assert_allclose(found, looked_up(SQUARE) if applied else BONE, atol=1e-6)
    found = pixels(tmp_path, RescaleSlope=0.5, RescaleIntercept=0, **more)
    np.testing.assert_allclose(
        found, np.clip(films.bone() / (2 if applied else 1) / 4095, 0, 1), atol=1e-6
    )


@pytest.mark.parametrize(("relation", "sign"), [("LIN", 1), ("LOG", -1), ("LIN", None)])
@pytest.mark.parametrize("interpretation", ["MONOCHROME1", "MONOCHROME2"])
@pytest.mark.parametrize(
    "kind",
    [
        classes.DigitalXRayImageStorageForPresentation,
        classes.DigitalXRayImageStorageForProcessing,
        classes.DigitalMammographyXRayImageStorageForPresentation,
        classes.DigitalMammographyXRayImageStorageForProcessing,
        classes.DigitalIntraOralXRayImageStorageForPresentation,
        classes.DigitalIntraOralXRayImageStorageForProcessing,
    ],
)
def test_the_intensity_relationship_is_no_step_of_the_display(
    tmp_path, kind, interpretation, relation, sign
):
    """PS3.3 C.8.11.3.1.2: "They do not define a transformation intended to be applied"."""
    more = {"PixelIntensityRelationship": relation, "SOPClassUID": kind}
    if sign:
        more["PixelIntensityRelationshipSign"] = sign
    intent = "FOR PRESENTATION" if kind.name.endswith("Presentation") else "FOR PROCESSING"
    found = pixels(
        tmp_path,
        PhotometricInterpretation=interpretation,
        PresentationIntentType=intent,
        **more,
        **FULL,
    )
    expected = BONE if interpretation == "MONOCHROME2" else 1 - BONE
    np.testing.assert_allclose(found, expected, atol=1e-6)


@pytest.mark.parametrize(
    ("kind", "bits", "identity"),
    [
        (classes.MultiFrameGrayscaleWordSecondaryCaptureImageStorage, 12, True),
        (classes.MultiFrameGrayscaleWordSecondaryCaptureImageStorage, 15, True),
        (classes.SecondaryCaptureImageStorage, 13, False),
        (classes.ComputedRadiographyImageStorage, 13, False),
    ],
)
def test_a_grayscale_secondary_capture_without_a_voi_lut_is_in_p_values(
    tmp_path, kind, bits, identity
):
    """PS3.3 A.8.4.4 and C.8.6.3: the VOI LUT stage is then an identity transformation."""
    found = pixels(tmp_path, SOPClassUID=kind, BitsStored=bits, Modality="OT")
    if identity:
        np.testing.assert_allclose(found, films.bone() / (2**bits - 1), atol=1e-6)
    else:
        assert np.ptp(found) == 1 and found.mean() > BONE.mean() * 0.9
    halved = pixels(
        tmp_path,
        SOPClassUID=kind,
        BitsStored=12,
        RescaleSlope=0.5,
        RescaleIntercept=7,
    )
    if identity:
        np.testing.assert_allclose(halved, BONE, atol=1e-5)


def test_a_secondary_capture_of_single_bits(tmp_path):
    bits = films.bone() > 900
    path = films.dicom(
        tmp_path / "a.dcm",
        films.bone(top=255).astype(np.uint8),
        SOPClassUID=classes.MultiFrameSingleBitSecondaryCaptureImageStorage,
        Modality="OT",
        NumberOfFrames=1,
        BitsAllocated=1,
        BitsStored=1,
        PixelData=np.packbits(bits.ravel(), bitorder="little").tobytes(),
    )
    assert (read_radiograph(path).pixels == bits).all()


@pytest.mark.parametrize(
    ("interpretation", "shape", "negative"),
    [
        ("MONOCHROME2", "IDENTITY", False),
        ("MONOCHROME2", "INVERSE", True),
        ("MONOCHROME2", "inverse ", True),
        ("MONOCHROME2", "LIN OD", False),
        ("MONOCHROME2", "", False),
        ("MONOCHROME1", "INVERSE", True),
        ("MONOCHROME1", "IDENTITY", True),
        ("MONOCHROME1", "", True),
    ],
)
def test_polarity_is_one_inversion(tmp_path, interpretation, shape, negative):
    found = pixels(
        tmp_path, PhotometricInterpretation=interpretation, PresentationLUTShape=shape, **FULL
    )
    np.testing.assert_allclose(found, 1 - BONE if negative else BONE, atol=1e-6)


def test_a_presentation_lut_sequence_is_not_part_of_an_image(tmp_path):
    """C.11.4: of presentation states and of prints, which are not read."""
    found = pixels(tmp_path, PresentationLUTSequence=films.table(SQUARE, bits=12), **FULL)
    np.testing.assert_allclose(found, BONE, atol=1e-6)


# --- enhanced films ---


def group(sequence, **elements):
    item, outer = Dataset(), Dataset()
    for keyword, value in elements.items():
        setattr(item, keyword, value)
    setattr(outer, sequence, [item])
    return outer


def enhanced(path, shared=None, frame=None, stored=None, **more):
    frames = np.stack([films.bone()[::-1], films.bone()])
    path = films.dicom(
        path / "a.dcm",
        frames,
        SOPClassUID=classes.BreastProjectionXRayImageStorageForPresentation,
        Modality="MG",
        **more,
    )
    dataset = pydicom.dcmread(path)
    dataset.SharedFunctionalGroupsSequence = [shared or Dataset()]
    dataset.PerFrameFunctionalGroupsSequence = [Dataset(), frame or Dataset()]
    dataset.save_as(path)
    return read_radiograph(path, frame=2)


def test_a_frame_has_its_own_table(tmp_path):
    own = group("FrameVOILUTSequence", VOILUTSequence=films.table(SQUARE, bits=12))
    np.testing.assert_allclose(enhanced(tmp_path, frame=own).pixels, looked_up(SQUARE), atol=1e-6)
    np.testing.assert_allclose(enhanced(tmp_path, shared=own).pixels, looked_up(SQUARE), atol=1e-6)


def test_what_a_frame_says_replaces_what_is_said_of_all(tmp_path):
    """Its window comes before a table for all frames, and its slope before a modality table."""
    table = films.table(SQUARE, bits=12)
    own = group("FrameVOILUTSequence", **FULL)
    shared = group("FrameVOILUTSequence", VOILUTSequence=table)
    np.testing.assert_allclose(enhanced(tmp_path, shared, own).pixels, BONE, atol=1e-6)
    np.testing.assert_allclose(
        enhanced(tmp_path, frame=own, VOILUTSequence=table).pixels, BONE, atol=1e-6
    )
    slope = group("PixelValueTransformationSequence", RescaleSlope=0.5, RescaleIntercept=0)
    found = enhanced(tmp_path, own, slope, ModalityLUTSequence=table).pixels
    np.testing.assert_allclose(found, BONE / 2, atol=1e-6)


@pytest.mark.parametrize("sequence", ["FrameVOILUTSequence", "PixelMeasuresSequence"])
def test_an_empty_group_of_a_frame_is_passed_over(tmp_path, sequence):
    shared = group("FrameVOILUTSequence", **FULL)
    np.testing.assert_allclose(enhanced(tmp_path, shared, group(sequence)).pixels, BONE, atol=1e-6)


def test_the_intensity_table_of_an_enhanced_xa_is_not_for_display(tmp_path):
    """PS3.17 FFF.2.3.1.3.4: these tables "are not used for the standard display pipeline"."""
    frames = np.stack([films.bone()] * 2)
    more = {"SOPClassUID": classes.EnhancedXAImageStorage, "Modality": "XA"}
    dataset = pydicom.dcmread(films.dicom(tmp_path / "a.dcm", frames, **more))
    shared = group("FrameVOILUTSequence", **FULL)
    properties = group(
        "FramePixelDataPropertiesSequence",
        PixelIntensityRelationship="LOG",
        PixelIntensityRelationshipSign=1,
        ImagerPixelSpacing=[0.3, 0.3],
    )
    shared.update(properties)
    table = films.table(SQUARE, bits=12)
    table[0].LUTFunction = "TO_LINEAR"
    shared.PixelIntensityRelationshipLUTSequence = table
    dataset.SharedFunctionalGroupsSequence = [shared]
    dataset.PerFrameFunctionalGroupsSequence = [Dataset(), Dataset()]
    dataset.save_as(tmp_path / "a.dcm")
    film = read_radiograph(tmp_path / "a.dcm", frame=2)
    np.testing.assert_allclose(film.pixels, BONE, atol=1e-6)
    assert (film.spacing_mm, film.spacing_kind) == ((0.3, 0.3), "detector")
