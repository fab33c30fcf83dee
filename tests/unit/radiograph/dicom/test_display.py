"""From stored values to grey: tables, windows, padding and polarity, odd ones too."""

from __future__ import annotations

import numpy as np
import pydicom
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom import uid as classes
from pydicom.dataset import Dataset
from pydicom.pixels import apply_windowing
from pydicom.uid import (
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    RLELossless,
)

from boneseg.radiograph.dicom.display import window
from boneseg.radiograph.read import read_radiograph
from tests.support import films
from tests.support.films import FULL
from tests.support.stored_values import BONE, SQUARE, looked_up, pixels

BIPLANE = "1.2.840.10008.5.1.4.1.1.12.3"


PRIVATE = "1.2.826.0.1.3680043.8.498.1"


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
def test_the_first_valid_window_is_used(tmp_path, center, width):
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


def test_values_of_a_frame_override_shared_ones(tmp_path):
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
def test_an_empty_group_of_a_frame_is_skipped(tmp_path, sequence):
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


@pytest.mark.parametrize("function", ["LINEAR", "LINEAR_EXACT", "SIGMOID"])
@given(
    center=st.floats(-3000, 6000, allow_subnormal=False),
    width=st.floats(1.5, 9000),
    values=st.lists(st.integers(-2048, 4095), min_size=1, max_size=20),
)
def test_windows_are_those_of_the_standard(function, center, width, values):
    """Held against pydicom, which gives them in the range of the stored values."""
    dataset = pydicom.Dataset()
    dataset.PhotometricInterpretation, dataset.BitsStored = "MONOCHROME2", 12
    dataset.PixelRepresentation, dataset.VOILUTFunction = 0, function
    dataset.WindowCenter, dataset.WindowWidth = f"{center:.6f}", f"{width:.6f}"
    center, width = float(dataset.WindowCenter), float(dataset.WindowWidth)
    stored = np.array(values, np.int16)
    expected = apply_windowing(stored, dataset) / 4095
    np.testing.assert_allclose(window(stored, center, width, function), expected, atol=2e-4)


def test_window_limits_of_the_standard():
    """PS3.3 C.11.2.1.2.1: center 2048, width 4096 is 0..4095; width 1 is a step at center - 0.5."""
    values = np.array([0, 4095, 2047, 2048])
    np.testing.assert_allclose(window(values, 2048, 4096), values / 4095, atol=1e-6)
    assert window(values, 2048, 1).tolist() == [0, 1, 0, 1]
    assert window(values, 2048, 4096, "LINEAR_EXACT")[3] == 0.5
    assert window(values, 2048, 4096, "SIGMOID")[3] == 0.5


def test_first_of_several_windows(tmp_path):
    path = films.dicom(
        tmp_path / "a.dcm", films.bone(), WindowCenter=[2048, 100], WindowWidth=[4096, 50]
    )
    np.testing.assert_allclose(read_radiograph(path).pixels, films.bone() / 4095, atol=1e-6)


def test_steps_come_in_order_modality_voi_polarity(tmp_path):
    """(stored * 2 + 10), then the window, then the inversion: any other order differs."""
    stored = films.bone()
    path = films.dicom(
        tmp_path / "a.dcm",
        stored,
        RescaleSlope=2,
        RescaleIntercept=10,
        WindowCenter=3000,
        WindowWidth=6001,
        PhotometricInterpretation="MONOCHROME1",
    )
    expected = 1 - np.clip((stored * 2.0 + 10 - 2999.5) / 6000 + 0.5, 0, 1)
    np.testing.assert_allclose(read_radiograph(path).pixels, expected, atol=1e-5)


@pytest.mark.parametrize(
    ("syntax", "bits", "packed"),
    [
        (ExplicitVRLittleEndian, 8, None),
        (ExplicitVRLittleEndian, 12, None),
        (ImplicitVRLittleEndian, 16, None),
        (ExplicitVRBigEndian, 12, None),
        (ExplicitVRLittleEndian, 8, "u1"),
        (ImplicitVRLittleEndian, 12, "<u2"),
        (RLELossless, 16, "<u2"),
        (ExplicitVRBigEndian, 16, ">u2"),
    ],
)
def test_tables_of_all_depths(tmp_path, syntax, bits, packed):
    """A modality table that reverses, then a VOI table that squares."""
    top = 2**bits - 1
    backwards = [round(top * (1 - k / 4095)) for k in range(4096)]
    square = [round(top * (k / top) ** 2) for k in range(top + 1)]
    path = films.dicom(
        tmp_path / "a.dcm",
        films.bone(),
        syntax,
        ModalityLUTSequence=films.table(backwards, bits=bits, packed=packed),
        VOILUTSequence=films.table(square, first=5, bits=bits, packed=packed),
        **FULL,  # the table goes before the window
    )
    middle = np.array(backwards)[films.bone()]
    expected = np.array(square)[np.clip(middle - 5, 0, top)] / top
    np.testing.assert_allclose(read_radiograph(path).pixels, expected, atol=1e-5)


def test_table_with_a_negative_first_value(tmp_path):
    stored = films.bone().astype(np.int16) - 2048
    ramp = films.table([16 * k for k in range(4096)], first=-2048, packed="<u2")
    path = films.dicom(tmp_path / "a.dcm", stored, BitsStored=12, VOILUTSequence=ramp)
    expected = films.bone() * 16 / 65535
    np.testing.assert_allclose(read_radiograph(path).pixels, expected, atol=1e-5)


@pytest.mark.parametrize(
    ("interpretation", "shape", "negative"),
    [
        ("MONOCHROME2", "IDENTITY", False),
        ("MONOCHROME1", "INVERSE", True),  # what DX demands: one inversion, not two
        ("MONOCHROME2", "INVERSE", True),
        ("MONOCHROME1", None, True),
    ],
)
@pytest.mark.parametrize("invert", [False, True])
def test_bone_is_bright(tmp_path, interpretation, shape, negative, invert):
    stored = 4095 - films.bone() if negative else films.bone()
    more = {"PresentationLUTShape": shape} if shape else {}
    path = films.dicom(
        tmp_path / "a.dcm", stored, PhotometricInterpretation=interpretation, **more, **FULL
    )
    expected = films.bone() / 4095
    pixels = read_radiograph(path, invert=invert).pixels
    np.testing.assert_allclose(pixels, 1 - expected if invert else expected, atol=1e-6)


def test_without_a_window_percentiles_are_used(tmp_path):
    stored = films.bone(top=900) + np.uint16(1000)
    stored[0, 0] = 65535  # one dead pixel
    film = read_radiograph(films.dicom(tmp_path / "a.dcm", stored))
    expected = films.bone() / 4095
    assert np.abs(film.pixels - expected)[1:].mean() < 0.02
    assert film.pixels.min() == 0 and film.pixels.max() == 1


@pytest.mark.parametrize(("center", "width"), [(60000, 100), (-500, 10), (500_000, 1_000_000)])
def test_a_window_that_shows_nothing_is_ignored(tmp_path, center, width):
    path = films.dicom(tmp_path / "a.dcm", films.bone(), WindowCenter=center, WindowWidth=width)
    pixels = read_radiograph(path).pixels
    assert np.corrcoef(pixels.ravel(), films.bone().ravel())[0, 1] > 0.99
    assert np.ptp(pixels) > 0.95


@pytest.mark.parametrize(("center", "width"), [("", ""), (2048, 0), (2048, -5), (2048, 0.5)])
def test_invalid_windows(tmp_path, center, width):
    path = films.dicom(tmp_path / "a.dcm", films.bone(), WindowCenter=center, WindowWidth=width)
    assert np.corrcoef(read_radiograph(path).pixels.ravel(), films.bone().ravel())[0, 1] > 0.99


@pytest.mark.parametrize("interpretation", ["MONOCHROME1", "MONOCHROME2"])
@pytest.mark.parametrize("invert", [False, True])
def test_padding_is_black_and_excluded_from_percentiles(tmp_path, interpretation, invert):
    stored = films.bone(top=900) + np.uint16(1000)
    plain = read_radiograph(
        films.dicom(tmp_path / "a.dcm", stored[:, 20:], PhotometricInterpretation=interpretation),
        invert=invert,
    )
    stored[:, :10], stored[:, 10:20] = 4000, 4095
    padded = read_radiograph(
        films.dicom(
            tmp_path / "b.dcm",
            stored,
            PhotometricInterpretation=interpretation,
            PixelPaddingValue=4000,
            PixelPaddingRangeLimit=4095,
        ),
        invert=invert,
    )
    assert (padded.pixels[:, :20] == 0).all()
    np.testing.assert_allclose(padded.pixels[:, 20:], plain.pixels, atol=1e-5)
