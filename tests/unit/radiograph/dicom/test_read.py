"""A DICOM film is displayed correctly in every encoding, unit and polarity."""

from __future__ import annotations

import logging
import warnings
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom import uid as classes
from pydicom.dataset import Dataset
from pydicom.uid import (
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGExtended12Bit,
    RLELossless,
)

from boneseg.errors import BonesegError, OutputError, RadiographError
from boneseg.radiograph.dicom import read
from boneseg.radiograph.dicom.read import _aspect, _other_kind, _parse, read_dicom
from boneseg.radiograph.read import read_radiograph
from tests.support import films
from tests.support.films import EXACT, FULL, named


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
        ({"PixelSpacing": [1, 1]}, None, "placeholder"),
        ({"PixelSpacing": [1, 1], "ImagerPixelSpacing": [1, 1]}, None, "placeholder"),
        ({"PixelSpacing": [1, 1], "ImagerPixelSpacing": [1.2, 1.2]}, (1, 1), "calibrated"),
        ({"PixelSpacing": [1, 1], "ImagerPixelSpacing": [0.2, 0.1]}, (0.2, 0.1), "detector"),
        (
            {"PixelSpacing": [1, 1], "PixelSpacingCalibrationType": "GEOMETRY"},
            (1, 1),
            "calibrated",
        ),
    ],
)
def test_spacing_says_what_it_measures(tmp_path, elements, spacing, kind):
    film = read_radiograph(films.dicom(tmp_path / "a.dcm", films.bone(), **elements))
    assert (film.spacing_mm, film.spacing_kind) == (spacing, kind)


@pytest.mark.parametrize("modality", ["CR", "DX", "RF", "XA", "MG", "IO", "PX", "OT", ""])
def test_projections_are_read(tmp_path, modality):
    path = films.dicom(tmp_path / "a.dcm", films.bone(), Modality=modality)
    assert read_radiograph(path).pixels.shape == (48, 64)


BEHIND = {"PresentationLUTShape": "IDENTITY"}  # what is about the patient: not truncated there


@pytest.mark.parametrize(
    ("elements", "words"),
    [
        ({"Modality": "CT"}, "is a CT slice, not a radiograph"),
        ({"Modality": "MR"}, "is an MR slice, not a radiograph"),
        ({"Modality": "PT"}, "is a PET slice"),
        ({"Modality": "US"}, "is an ultrasound image"),
        ({"Modality": "SR", "PixelData": None, **BEHIND}, "is a structured report"),
        ({"Modality": "HD"}, "DICOM of modality HD"),
        ({"Modality": films.PATIENT}, "DICOM of another kind"),
        ({"PixelData": None, **BEHIND}, "without an image"),
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


# -- function by function -------------------------------------------------------------------------


def shown(_: Dataset | None) -> Path:
    """The name in messages, which need not be that of the file."""
    return Path("shown.dcm")


def written(path: Path, syntax: str = ExplicitVRLittleEndian, **elements: object) -> Path:
    """A data set alone: no preamble, no mark and no transfer syntax."""
    dataset = Dataset()
    for keyword, value in elements.items():
        setattr(dataset, keyword, value)
    uid = pydicom.uid.UID(syntax)
    dataset.save_as(path, implicit_vr=uid.is_implicit_VR, little_endian=uid.is_little_endian)
    return path


@named([ImplicitVRLittleEndian, ExplicitVRLittleEndian, ExplicitVRBigEndian])
def test_the_encoding_of_a_file_that_does_not_state_it_is_found(tmp_path, syntax):
    path = written(tmp_path / "a.dcm", syntax, Modality="DX", Rows=48, Columns=64)
    found = _parse(path, shown)
    assert found.file_meta.TransferSyntaxUID == syntax
    assert (found.Rows, found.Columns) == (48, 64)


def test_the_encoding_that_a_file_states_is_kept(tmp_path):
    path = films.dicom(tmp_path / "a.dcm", films.bone(), RLELossless)
    assert _parse(path, shown).file_meta.TransferSyntaxUID == RLELossless


@pytest.mark.parametrize(
    "mark",
    [
        {"SOPClassUID": "1.2.3"},
        {"Modality": "DX"},
        {"Rows": 48},
        {"DirectoryRecordSequence": [Dataset()]},
    ],
)
def test_one_element_of_an_image_or_an_index_makes_a_dicom_file(tmp_path, mark):
    assert set(mark) == set(_parse(written(tmp_path / "a.dcm", **mark), shown).dir())


@pytest.mark.parametrize("content", [b"", b"no DICOM at all\n", b"\x08\0\x60\0CS"])
def test_a_file_without_any_of_them_is_refused(tmp_path, content):
    paths = [written(tmp_path / "a.dcm", PatientName="Doe^John"), tmp_path / "b.dcm"]
    paths[1].write_bytes(content)
    for path in paths:
        with pytest.raises(RadiographError) as refusal:
            _parse(path, shown)
        words = "shown.dcm: is damaged or truncated, or is not a DICOM file; export it again"
        assert str(refusal.value) == words


@pytest.mark.parametrize(
    ("elements", "words"),
    [
        (
            {"DirectoryRecordSequence": [Dataset()]},
            "is a media index (DICOMDIR), not a radiograph; give the folder",
        ),
        (
            {"Modality": "CT", "Rows": 48},
            "is a CT slice, not a radiograph; give a projection (CR, DX, RF, XA, MG, IO, PX)",
        ),
        (
            {"Modality": "DX", "Rows": 48},
            "is a DICOM file without an image, or is truncated; give the file of the film",
        ),
    ],
)
def test_a_file_of_another_kind_is_refused_in_words(tmp_path, elements, words):
    with pytest.raises(RadiographError) as refusal:
        read_dicom(written(tmp_path / "a.dcm", **elements), shown)
    assert str(refusal.value) == f"shown.dcm: {words}"


@pytest.mark.parametrize(
    ("modality", "kind", "found"),
    [
        ("CT", "", "a CT slice"),
        ("ct ", "", "a CT slice"),
        ("IVUS", "", "an ultrasound image"),
        ("HD", "", "DICOM of modality HD"),
        ("hd", "", "DICOM of modality HD"),
        ("DOE", "", "DICOM of another kind"),
        ("DX", "", None),
        ("dx", "1.2.3", None),
        ("", "", None),
        ("", classes.EnhancedMRImageStorage, "an MR slice"),
        ("XA", classes.XRay3DAngiographicImageStorage, "a reconstructed volume"),
        ("CT", classes.XRay3DAngiographicImageStorage, "a CT slice"),
    ],
)
def test_another_kind_is_named_by_modality_or_class(modality, kind, found):
    dataset = Dataset()
    dataset.Modality, dataset.SOPClassUID = modality, kind
    assert _other_kind(dataset) == found


@pytest.mark.parametrize(
    ("sides", "aspect"),
    [
        (None, 1),
        ((0.2, 0.1), 2),
        ((0.1, 0.2), 0.5),
        ((8, 1), 8),
        ((8.01, 1), 1),
        ((1, 8), 1 / 8),
        ((1, 8.01), 1),
        ((1.005, 1), 1),
        ((0.995, 1), 1),
        ((1.02, 1), 1.02),
        ((0.98, 1), 0.98),
        ((2, 2), 1),
    ],
)
def test_the_aspect_of_a_pixel_is_1_if_it_is_nearly_so_or_implausible(sides, aspect):
    assert _aspect(sides) == aspect


def test_a_film_has_the_frame_the_aspect_and_the_source_of_its_file(tmp_path):
    frames = np.stack([films.bone(), films.bone()[::-1]])
    path = films.dicom(tmp_path / "a.dcm", frames, PixelAspectRatio=[3, 2], **FULL)
    film = read_dicom(path, shown, frame=2)
    assert (film.frame, film.aspect, film.source) == (2, 1.5, path)
    np.testing.assert_allclose(film.pixels, frames[1] / 4095, atol=1e-6)
    inverted = read_dicom(path, shown, frame=2, invert=True)
    np.testing.assert_allclose(inverted.pixels, 1 - frames[1] / 4095, atol=1e-6)
    with pytest.raises(RadiographError, match=r"^shown\.dcm: holds 2 frames"):
        read_dicom(path, shown)
    single = films.dicom(tmp_path / "b.dcm", films.bone(), PixelSpacing=[0.3, 0.1])
    film = read_dicom(single, shown)
    assert (film.frame, film.aspect, film.spacing_mm) == (1, pytest.approx(3), (0.3, 0.1))


def test_the_size_of_a_film_is_checked_before_it_is_decoded(tmp_path, monkeypatch):
    path = films.dicom(tmp_path / "a.dcm", films.bone(8, 200))
    monkeypatch.setattr(read, "decode", lambda *_: pytest.fail("decoded"))
    with pytest.raises(RadiographError, match=r"^shown\.dcm: 8 x 200 pixels is too small"):
        read_dicom(path, shown)


@pytest.mark.parametrize(
    ("step", "error"),
    [
        *(("read_file", error) for error in (MemoryError(), PermissionError(13, "denied"))),
        *(("decode", error) for error in (MemoryError(), OSError(5, "I/O error"))),
        ("decode", OutputError("no decoder")),
    ],
)
def test_what_is_no_fault_of_the_file_is_left_to_the_caller(tmp_path, monkeypatch, step, error):
    def fails(*_, **__):
        raise error

    path = films.dicom(tmp_path / "a.dcm", films.bone())
    monkeypatch.setattr(read, step, fails)
    with pytest.raises(type(error)) as caught:
        read_dicom(path, shown)
    assert caught.value is error


def test_attributes_that_make_no_image_are_not_quoted(tmp_path, monkeypatch):
    def fails(*_, **__):
        raise ValueError("Doe")

    path = films.dicom(tmp_path / "a.dcm", films.bone())
    monkeypatch.setattr(read, "display", fails)
    with pytest.raises(RadiographError) as refusal:
        read_dicom(path, shown)
    words = "shown.dcm: is a damaged DICOM file (invalid image attributes); export it again"
    assert str(refusal.value) == words


def test_a_file_that_cannot_be_inflated_is_refused_in_words(tmp_path, monkeypatch):
    def fails(*_, **__):
        raise read.InflationError("is truncated")

    monkeypatch.setattr(read, "read_file", fails)
    with pytest.raises(RadiographError) as refusal:
        _parse(tmp_path / "a.dcm", shown)
    assert str(refusal.value) == "shown.dcm: is truncated; export it again without deflate"
