"""What a DICOM film promises to become, whatever its encoding, units and polarity."""

from __future__ import annotations

import logging
import warnings
from pathlib import Path

import numpy as np
import pydicom
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.pixels import apply_windowing
from pydicom.uid import (
    JPEG2000,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    JPEGLSNearLossless,
    RLELossless,
)

from boneseg.errors import BonesegError, RadiographError
from boneseg.radiograph.dicom.display import window
from boneseg.radiograph.read import read_radiograph
from tests.support import films

FULL = {"WindowCenter": 2048, "WindowWidth": 4096}  # 0..4095 to 0..1
EXACT = [
    ImplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    DeflatedExplicitVRLittleEndian,
    RLELossless,
    JPEGLossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    JPEG2000Lossless,
]
NEAR = [JPEGExtended12Bit, JPEGLSNearLossless, JPEG2000]


def named(syntaxes):
    return pytest.mark.parametrize("syntax", syntaxes, ids=lambda syntax: syntax.name)


@named(EXACT)
def test_every_lossless_encoding_gives_the_very_pixels(tmp_path, syntax):
    path = films.dicom(tmp_path / "a.dcm", films.bone(), syntax, **FULL)
    assert pydicom.dcmread(path).file_meta.TransferSyntaxUID == syntax
    np.testing.assert_allclose(read_radiograph(path).pixels, films.bone() / 4095, atol=1e-6)


@named(NEAR)
def test_every_lossy_encoding_keeps_twelve_bits_nearly(tmp_path, syntax):
    path = films.dicom(tmp_path / "a.dcm", films.bone(), syntax, **FULL)
    assert pydicom.dcmread(path).file_meta.TransferSyntaxUID == syntax
    wrong = np.abs(read_radiograph(path).pixels - films.bone() / 4095)
    assert 0 < wrong.max() < 0.01  # lossy for certain, and finer than 8 bits could be everywhere
    assert wrong.mean() < 0.002


@named([JPEGBaseline8Bit, RLELossless, JPEGLosslessSV1, JPEGLSLossless, JPEG2000Lossless])
def test_eight_bit_encodings(tmp_path, syntax):
    truth = films.bone(top=255).astype(np.uint8)
    path = films.dicom(tmp_path / "a.dcm", truth, syntax)
    np.testing.assert_allclose(read_radiograph(path).pixels, truth / 255, atol=0.02)


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, RLELossless])
def test_words_filled_from_the_top_are_read_as_such(tmp_path, syntax):
    plain = read_radiograph(films.dicom(tmp_path / "plain", films.bone()))
    path = films.dicom(tmp_path / "left", films.bone() << 4, syntax, BitsStored=12, HighBit=15)
    assert np.allclose(read_radiograph(path).pixels, plain.pixels, atol=1e-3)


def test_a_high_bit_that_the_values_belie_is_not_believed(tmp_path):
    plain = read_radiograph(films.dicom(tmp_path / "plain", films.bone()))
    path = films.dicom(tmp_path / "high", films.bone(), BitsStored=12, HighBit=15)
    assert np.array_equal(read_radiograph(path).pixels, plain.pixels)


@named([ExplicitVRLittleEndian, RLELossless, JPEGLosslessSV1, JPEG2000Lossless])
def test_signed_pixels(tmp_path, syntax):
    stored = films.bone().astype(np.int16) - 2048
    path = films.dicom(
        tmp_path / "a.dcm",
        stored,
        syntax,
        BitsStored=12,
        RescaleSlope=1,
        RescaleIntercept=2048,
        **FULL,
    )
    np.testing.assert_allclose(read_radiograph(path).pixels, films.bone() / 4095, atol=1e-6)


@named([ImplicitVRLittleEndian, RLELossless, JPEG2000Lossless])
def test_colour_spaces_become_grey(tmp_path, syntax):
    grey = films.bone(top=255).astype(np.uint8)
    path = films.dicom(tmp_path / "a.dcm", np.stack([grey] * 3, -1), syntax)
    np.testing.assert_allclose(read_radiograph(path).pixels, grey / 255, atol=0.01)


def test_palette_becomes_grey(tmp_path):
    grey = films.bone(top=255).astype(np.uint8)
    ramp = (np.arange(256, dtype=np.uint16)[::-1] * 257).tobytes()  # runs backwards
    tables = {f"{band}PaletteColorLookupTableData": ramp for band in ("Red", "Green", "Blue")}
    sizes = {f"{k[:-4]}Descriptor": [256, 0, 16] for k in tables}
    path = films.dicom(
        tmp_path / "a.dcm", grey, PhotometricInterpretation="PALETTE COLOR", **tables, **sizes
    )
    np.testing.assert_allclose(read_radiograph(path).pixels, 1 - grey / 255, atol=1e-5)


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


def test_without_a_window_percentiles_rule(tmp_path):
    stored = films.bone(top=900) + np.uint16(1000)
    stored[0, 0] = 65535  # one dead pixel
    film = read_radiograph(films.dicom(tmp_path / "a.dcm", stored))
    expected = films.bone() / 4095
    assert np.abs(film.pixels - expected)[1:].mean() < 0.02
    assert film.pixels.min() == 0 and film.pixels.max() == 1


@pytest.mark.parametrize(("center", "width"), [(60000, 100), (-500, 10), (500_000, 1_000_000)])
def test_a_window_that_shows_nothing_is_not_believed(tmp_path, center, width):
    path = films.dicom(tmp_path / "a.dcm", films.bone(), WindowCenter=center, WindowWidth=width)
    pixels = read_radiograph(path).pixels
    assert np.corrcoef(pixels.ravel(), films.bone().ravel())[0, 1] > 0.99
    assert np.ptp(pixels) > 0.95


@pytest.mark.parametrize(("center", "width"), [("", ""), (2048, 0), (2048, -5), (2048, 0.5)])
def test_windows_that_are_none(tmp_path, center, width):
    path = films.dicom(tmp_path / "a.dcm", films.bone(), WindowCenter=center, WindowWidth=width)
    assert np.corrcoef(read_radiograph(path).pixels.ravel(), films.bone().ravel())[0, 1] > 0.99


@pytest.mark.parametrize("interpretation", ["MONOCHROME1", "MONOCHROME2"])
@pytest.mark.parametrize("invert", [False, True])
def test_padding_is_black_and_has_no_say(tmp_path, interpretation, invert):
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


def test_overlays_in_unused_bits_are_ignored(tmp_path):
    stored = films.bone() | np.uint16(0x8000)
    path = films.dicom(tmp_path / "a.dcm", stored, BitsStored=12, **FULL)
    np.testing.assert_allclose(read_radiograph(path).pixels, films.bone() / 4095, atol=1e-6)


@pytest.mark.parametrize(
    ("elements", "spacing", "kind"),
    [
        ({}, None, "unknown"),
        ({"PixelSpacing": [0.2, 0.1]}, (0.2, 0.1), "uncalibrated"),
        ({"ImagerPixelSpacing": [0.2, 0.1]}, (0.2, 0.1), "detector"),
        ({"NominalScannedPixelSpacing": [0.2, 0.1]}, (0.2, 0.1), "detector"),
        ({"PixelSpacing": [0.2, 0.1], "ImagerPixelSpacing": [0.2, 0.1]}, (0.2, 0.1), "detector"),
        ({"PixelSpacing": [0.2, 0.1], "ImagerPixelSpacing": [0.3, 0.15]}, (0.2, 0.1), "calibrated"),
        (
            {"PixelSpacing": [0.2, 0.1], "PixelSpacingCalibrationType": "FIDUCIAL"},
            (0.2, 0.1),
            "calibrated",
        ),
        ({"PixelSpacing": [0, 0]}, None, "unknown"),
        ({"PixelSpacing": [0, 0], "ImagerPixelSpacing": [0.2, 0.1]}, (0.2, 0.1), "detector"),
        ({"PixelSpacing": ""}, None, "unknown"),
    ],
)
def test_spacing_says_what_it_measures(tmp_path, elements, spacing, kind):
    film = read_radiograph(films.dicom(tmp_path / "a.dcm", films.bone(), **elements))
    assert (film.spacing_mm, film.spacing_kind) == (spacing, kind)


def test_frames_are_asked_for(tmp_path):
    frames = np.stack([films.bone(), films.bone()[::-1]])
    path = films.dicom(tmp_path / "a.dcm", frames, RLELossless, **FULL)
    with pytest.raises(RadiographError, match="holds 2 frames; choose one with segment --frame N"):
        read_radiograph(path)
    second = read_radiograph(path, frame=2).pixels
    np.testing.assert_allclose(second, frames[1] / 4095, atol=1e-6)
    with pytest.raises(RadiographError, match="no frame 3"):
        read_radiograph(path, frame=3)


@pytest.mark.parametrize("modality", ["CR", "DX", "RF", "XA", "MG", "IO", "PX", "OT", ""])
def test_projections_are_read(tmp_path, modality):
    path = films.dicom(tmp_path / "a.dcm", films.bone(), Modality=modality)
    assert read_radiograph(path).pixels.shape == (48, 64)


@pytest.mark.parametrize(
    ("elements", "words"),
    [
        ({"Modality": "CT"}, "is a CT slice, not a radiograph"),
        ({"Modality": "MR"}, "is an MR slice, not a radiograph"),
        ({"Modality": "PT"}, "is a PET slice"),
        ({"Modality": "US"}, "is an ultrasound image"),
        ({"Modality": "SR", "PixelData": None}, "is a structured report"),
        ({"Modality": "HD"}, "DICOM of modality HD"),
        ({"Modality": films.PATIENT}, "DICOM of another kind"),
        ({"PixelData": None}, "without an image"),
        ({"PixelData": b"1234"}, "cannot be decoded"),
        ({"Rows": None}, "Rows is missing"),
        ({"SamplesPerPixel": None}, "SamplesPerPixel is missing"),
        ({"PixelRepresentation": None}, "PixelRepresentation is missing"),
        ({"BitsStored": 40}, "cannot be decoded"),
        ({"Rows": 3, "Columns": 1024}, "3 x 1024 pixels is too small"),
        ({"Rows": 60000, "Columns": 60000}, "million"),
        ({"PhotometricInterpretation": films.PATIENT}, "."),
    ],
)
def test_refusals_are_one_line_without_the_patient(tmp_path, elements, words):
    path = films.dicom(tmp_path / "a.dcm", films.bone(), **elements)
    with pytest.raises(RadiographError, match=words) as refusal:
        read_radiograph(path)
    message = str(refusal.value)
    assert message.startswith(f"{path}: ") and "\n" not in message
    assert "Zaphod" not in message and "HHGTTG" not in message


def test_nothing_of_the_patient_is_warned_or_logged(tmp_path, caplog, capfd):
    path = films.dicom(tmp_path / "a.dcm", films.bone(), Modality="DX")
    path.write_bytes(path.read_bytes().replace(b"CS\2\0DX", b"CS\2\0\xe4\xe4"))
    odd = films.dicom(tmp_path / "b.dcm", films.bone(), SpecificCharacterSet="ISO_IR 192")
    odd.write_bytes(odd.read_bytes().replace(b"ISO_IR 192", b"Zaphod 192"))
    caplog.set_level(logging.DEBUG)
    logging.getLogger("pydicom").setLevel(logging.DEBUG)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        _ = pydicom.dcmread(odd).PatientName
        assert "Zaphod" in str(caught[0].message) and "Zaphod" in caplog.text  # pydicom tells
        caught.clear()
        caplog.clear()
        read_radiograph(odd)
        with pytest.raises(RadiographError):
            read_radiograph(path)
    assert not caught and not caplog.text and capfd.readouterr() == ("", "")


@pytest.mark.parametrize("suffix", [".dcm", "", ".png", ".2.840"])
def test_dicom_is_known_by_content(tmp_path, suffix):
    path = films.dicom(tmp_path / f"film{suffix}", films.bone(), **FULL)
    assert read_radiograph(path).pixels.max() == 1


@pytest.mark.parametrize("implicit", [True, False])
def test_dicom_without_a_preamble_is_known_by_suffix(tmp_path, implicit):
    path = films.dicom(tmp_path / "a.dcm", films.bone(), **FULL)
    dataset = pydicom.dcmread(path)
    del dataset.file_meta
    dataset.preamble = None
    dataset.save_as(path, implicit_vr=implicit, little_endian=True)
    assert path.read_bytes()[128:132] != b"DICM"
    np.testing.assert_allclose(read_radiograph(path).pixels, films.bone() / 4095, atol=1e-6)


@named([*EXACT, JPEGExtended12Bit])
def test_a_file_cut_short_is_refused(tmp_path, syntax, capfd):
    noise = np.random.default_rng(1).integers(0, 4096, (48, 64), np.uint16)
    path = films.dicom(tmp_path / "a.dcm", noise, syntax, **FULL)
    whole = path.read_bytes()
    for part in (0.1, 0.4, 0.7, 0.9):
        path.write_bytes(whole[: int(len(whole) * part)])
        with pytest.raises(RadiographError):
            read_radiograph(path)


def test_all_files_of_pydicom_are_read_or_refused():
    folder = Path(pydicom.__file__).parent / "data" / "test_files"
    read = 0
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        try:
            pixels = read_radiograph(path, frame=1).pixels
        except BonesegError as refusal:
            assert "\n" not in str(refusal)
        else:
            read += 1
            assert pixels.dtype == np.float32 and pixels.min() >= 0 and pixels.max() <= 1
    assert read > 5


def test_real_films_are_upright_and_bright():
    folder = films.DATA / "dicom"
    if not folder.is_dir():
        pytest.skip("needs the radiographs of ../shared/data")
    leg = read_radiograph(folder / "lowerleg_cr_monochrome1_rle.dcm")
    shaft, air = leg.pixels[300:600, 900:1100], leg.pixels[300:600, 600:700]
    assert leg.pixels.shape == (1760, 1760) and shaft.mean() > 0.5 > 0.3 > air.mean()
    hip = read_radiograph(folder / "hip_cr_monochrome2_rle.dcm")
    assert hip.spacing_mm == (0.2, 0.2) and hip.spacing_kind == "uncalibrated"
    assert read_radiograph(folder / "chest_cr_monochrome1_j2k.dcm").spacing_kind == "unknown"
    infant = read_radiograph(folder / "infant_pelvis_dx_rgb_j2k_1.dcm")
    assert infant.pixels.shape == (331, 331) and infant.pixels.std() > 0.05
