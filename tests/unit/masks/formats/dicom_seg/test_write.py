"""A DICOM Segmentation belongs to the patient and the study of its film."""

from __future__ import annotations

import re
import shutil
import subprocess
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import highdicom
import numpy as np
import pydicom
import pytest
from pydicom import config
from pydicom.datadict import dictionary_VR
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.uid import (
    ComputedRadiographyImageStorage,
    DigitalMammographyXRayImageStorageForPresentation,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    SecondaryCaptureImageStorage,
    XRayAngiographicImageStorage,
    XRayRadiofluoroscopicImageStorage,
    generate_uid,
)

from boneseg.errors import RadiographError
from boneseg.masks.formats import FORMATS
from boneseg.masks.formats.dicom_seg.source import read_source
from boneseg.masks.formats.dicom_seg.write import dicom_seg, segmentation_uid, write
from boneseg.masks.verdict import Verdict
from tests.support import orthanc
from tests.support.films import DATA, PATIENT, dicom, needs_data
from tests.support.readings import (
    MASK,
    card,
    dicom_film,
    picture,
    reading,
    segmentation_of,
    written,
)
from tests.support.requirements import needs_orthanc
from tests.support.verdicts import GOOD, NO_FILM, REVIEW

STRIPES = np.arange(60 * 80).reshape(60, 80) % 7 == 0
LONG = "P" * 70


def raw_elements(path: Path) -> dict[str, bytes]:
    """The elements of a file as bytes, by keyword."""
    dataset = pydicom.dcmread(path, stop_before_pixels=True)
    found = {}
    for tag in list(dataset.keys()):
        value = dataset.get_item(tag).value or b""
        if tag == 0x00080005:  # which pydicom decodes as it reads
            value = (value if isinstance(value, str) else "\\".join(value)).encode()
        found[pydicom.datadict.keyword_for_tag(tag)] = value
    return found


def segmented(film: Path) -> Path:
    out = film.with_suffix(".seg.dcm")
    write(out, reading(film, STRIPES, card()))
    return out


def film_with(path: Path, syntax: str = ExplicitVRLittleEndian, **values: bytes) -> Path:
    """A film whose elements hold the very bytes given."""
    dicom_film(path, syntax=syntax)
    dataset = pydicom.dcmread(path)
    for keyword, value in values.items():
        raw = pydicom.dataelem.RawDataElement(
            pydicom.tag.Tag(pydicom.datadict.tag_for_keyword(keyword)),
            pydicom.datadict.dictionary_VR(keyword),
            len(value),
            value,
            0,
            syntax.is_implicit_VR,
            syntax.is_little_endian,
        )
        dataset[keyword] = raw
    dataset.set_original_encoding(
        syntax.is_implicit_VR, syntax.is_little_endian, dataset._character_set
    )  # else pydicom would decode the bytes
    dataset.save_as(path)
    return path


@pytest.mark.parametrize(
    "syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian, ExplicitVRBigEndian]
)
@pytest.mark.parametrize(
    "values",
    [
        {"PatientID": b"AB\\CD "},
        {"PatientID": LONG.encode()},
        {"PatientID": b"  17 4 ", "IssuerOfPatientID": b"City\\West "},
        {"AccessionNumber": b"2024/ACC/000000000000017", "StudyID": b"KNEE\\LEFT.1 "},
        {"PatientName": b"Doe\\Jane"},
        {"PatientName": b"M\xfcller^J\xf6rg ", "SpecificCharacterSet": b"ISO_IR 100"},
        {"PatientName": b"M\xc3\xbcller^J\xc3\xb6rg", "SpecificCharacterSet": b"ISO_IR 192"},
        {"PatientName": b"M\xc3\xbcller^J\xc3\xb6rg"},  # without the word for it
        {"PatientID": b"\xff\xfe\x80\x81", "SpecificCharacterSet": b"ISO_IR 192"},
        {
            "PatientName": b"Yamada^Tarou=\x1b$B;3ED\x1b(B^\x1b$BB@O:\x1b(B=",
            "SpecificCharacterSet": b"\\ISO 2022 IR 87 ",
        },
        {"ReferringPhysicianName": b"Name^" + b"x" * 77, "StudyDescription": b"Knee\\ap "},
    ],
    ids=lambda values: "-".join(values),
)
def test_identifiers_are_copied_byte_for_byte(tmp_path, values, syntax):
    film = film_with(tmp_path / "film.dcm", syntax, **values)
    found = raw_elements(segmented(film))
    told = raw_elements(film)
    for keyword in ("PatientID", "PatientName", "StudyInstanceUID", *values):
        assert found[keyword] == told[keyword] or found[keyword].strip() == told[keyword].strip()
        if keyword in values:
            assert told[keyword].strip() == values[keyword].strip()
    if "SpecificCharacterSet" not in values:
        assert "SpecificCharacterSet" not in found


@pytest.mark.parametrize(
    "uid",
    [b"1.2.03.4", b"1.2.3.4 ", b"1.2.3\0", b"1." + b"2" * 70, b"urn:1.2.3 ", b"1.2.3."],
)
@pytest.mark.parametrize("keyword", ["StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"])
def test_uids_that_violate_the_standard_are_referenced(tmp_path, uid, keyword):
    film = film_with(tmp_path / "film.dcm", **{keyword: uid})
    found = pydicom.dcmread(segmented(film))
    series = found.ReferencedSeriesSequence[0]
    told = {
        "StudyInstanceUID": found.StudyInstanceUID,
        "SeriesInstanceUID": series.SeriesInstanceUID,
        "SOPInstanceUID": series.ReferencedInstanceSequence[0].ReferencedSOPInstanceUID,
    }
    assert told[keyword] == uid.decode().strip(" \0")


@pytest.mark.parametrize("uid", [b"", b"  ", b"1.2\\1.3 "])
@pytest.mark.parametrize("keyword", ["StudyInstanceUID", "SeriesInstanceUID", "SOPClassUID"])
def test_a_film_without_a_uid_cannot_be_referenced(tmp_path, uid, keyword):
    film = film_with(tmp_path / "film.dcm", **{keyword: uid})
    if uid == b"1.2\\1.3 ":
        segmented(film)  # the first of several
        return
    with pytest.raises(RadiographError, match=f"has no valid {keyword}"):
        segmented(film)


def test_an_unknown_character_set_becomes_unicode(tmp_path):
    values = {"PatientName": b"M\xfcller^J\xf6rg ", "SpecificCharacterSet": b"ISO_IR 999"}
    found = raw_elements(segmented(film_with(tmp_path / "film.dcm", **values)))
    assert found["SpecificCharacterSet"].strip() == b"ISO_IR 192"
    assert found["PatientName"].decode().strip() == "Müller^Jörg"


@pytest.mark.parametrize("vr", [b"ZZ", b"UN", b"ST"])
def test_an_identifier_of_another_representation_is_copied(tmp_path, vr):
    film = film_with(tmp_path / "film.dcm", PatientID=b"MARK-4711 ")
    data = film.read_bytes()
    old = b"\x10\0\x20\0LO" + (10).to_bytes(2, "little")
    new = b"\x10\0\x20\0" + vr
    new += b"\0\0" + (10).to_bytes(4, "little") if vr == b"UN" else (10).to_bytes(2, "little")
    assert data.count(old) == 1
    film.write_bytes(data.replace(old, new))
    assert raw_elements(segmented(film))["PatientID"] == b"MARK-4711 "


def test_invalid_numbers_stop_no_segmentation(tmp_path):
    values = {"InstanceNumber": b"first ", "NumberOfFrames": b"one "}
    found = pydicom.dcmread(segmented(film_with(tmp_path / "film.dcm", **values)))
    assert found.InstanceNumber == 1


def test_a_source_in_memory_keeps_its_identifiers(tmp_path):
    """Of a film that a PACS has sent, whose values are decoded already."""
    film = film_with(tmp_path / "film.dcm", PatientID=b"AB\\CD ")
    source = read_source(film)
    assert list(source.PatientID) == ["AB", "CD"]
    assert isinstance(source, Dataset) and re.fullmatch("[0-9.]+", source.SOPInstanceUID)


@needs_orthanc
def test_an_archive_files_a_segmentation_with_its_film(tmp_path):
    """Whatever identifiers it has: one patient and one study for each film."""
    films = {
        "backslash": {"PatientID": b"AB\\CD "},
        "long": {"PatientID": LONG.encode()},
        "padded": {"PatientID": b"  4711", "AccessionNumber": b"2024/ACC/00000000017 "},
        "latin": {"PatientID": b"N\xb0 17", "SpecificCharacterSet": b"ISO_IR 100"},
        "undeclared": {"PatientID": b"N\xb0 18", "PatientName": b"M\xfcller^J"},
        "uid": {"PatientID": b"17", "StudyInstanceUID": b"1.2.03.4"},
    }
    with orthanc.running(tmp_path / "orthanc") as server:
        for name, values in films.items():
            film = film_with(tmp_path / f"{name}.dcm", **values)
            server.put(film)
            server.put(segmented(film))
        for level in ("patients", "studies"):
            assert len(server.get(f"/{level}").json()) == len(films)
        assert len(server.get("/instances").json()) == 2 * len(films)


needs_dciodvfy = pytest.mark.skipif(
    shutil.which("dciodvfy") is None, reason="needs dciodvfy, of Debian's dicom3tools"
)


def dciodvfy_errors(path: Path) -> list[str]:
    done = subprocess.run(["dciodvfy", path], capture_output=True, text=True, check=False)
    lines = (done.stdout + done.stderr).splitlines()
    assert any("Segmentation" in line for line in lines)  # it has looked, and knows what it is
    return [line for line in lines if line.startswith("Error")]


# --- DICOM Segmentation ---


def test_a_segmentation_matches_its_film_and_references_it(tmp_path: Path) -> None:
    film = dicom_film(tmp_path / "knee.dcm", StudyDate="20200229")
    path = written("dicom-seg", reading(film, MASK, card()), tmp_path)
    source, found = pydicom.dcmread(film), highdicom.seg.segread(path)
    pixels = found.get_pixels_by_source_instance([source.SOPInstanceUID], combine_segments=False)
    assert np.array_equal(pixels[0, ..., 0] > 0, MASK)
    assert found.StudyInstanceUID == source.StudyInstanceUID
    assert found.SeriesInstanceUID != source.SeriesInstanceUID
    assert (found.Modality, found.SegmentationType) == ("SEG", "BINARY")
    assert (found.PatientName, found.StudyDate) == (PATIENT, "20200229")  # by design
    (image,) = found.PerFrameFunctionalGroupsSequence[0].DerivationImageSequence[0][
        "SourceImageSequence"
    ]
    assert image.ReferencedSOPClassUID == source.SOPClassUID
    assert image.ReferencedSOPInstanceUID == source.SOPInstanceUID
    (series,) = found.ReferencedSeriesSequence
    assert series.SeriesInstanceUID == source.SeriesInstanceUID


def test_a_film_may_have_another_name_in_outputs_than_on_disk(tmp_path: Path) -> None:
    one = reading(dicom_film(tmp_path / "knee.dcm"), MASK)
    write(tmp_path / "film.seg.dcm", replace(one, name=Path("film 1.dcm")))
    assert pydicom.dcmread(tmp_path / "film.seg.dcm").Rows == MASK.shape[0]


def test_bone_is_said_in_snomed_ct_and_the_model_by_its_digest(tmp_path: Path) -> None:
    found = segmentation_of(dicom_film(tmp_path / "knee.dcm"))
    (segment,) = found.SegmentSequence
    (kind,) = segment.SegmentedPropertyTypeCodeSequence
    assert (kind.CodeValue, kind.CodingSchemeDesignator) == ("272673000", "SCT")
    assert segment.SegmentAlgorithmType == "AUTOMATIC"
    (algorithm,) = segment.SegmentationAlgorithmIdentificationSequence
    assert "ab" * 8 in algorithm.AlgorithmVersion
    assert algorithm.AlgorithmParameters.split(",") == [
        "threshold=0.5",
        f"model_sha256={'ab' * 32}",
    ]
    drawn = segmentation_of(tmp_path / "knee.dcm", model=None).SegmentSequence[0]
    assert drawn.SegmentAlgorithmType == "MANUAL"
    corrected = segmentation_of(tmp_path / "knee.dcm", corrected=True).SegmentSequence[0]
    assert corrected.SegmentAlgorithmType == "SEMIAUTOMATIC"


@pytest.mark.parametrize("verdict", [GOOD, REVIEW, NO_FILM])
def test_a_segmentation_has_the_verdict_on_its_mask(verdict: Verdict, tmp_path: Path) -> None:
    film = dicom_film(tmp_path / "knee.dcm")
    one = replace(reading(film, MASK, card()), judged=verdict)
    found = dicom_seg(read_source(film), one)
    assert found.ContentQualification == "RESEARCH"
    assert found.ContentDescription == f"Bones, mask: {verdict.verdict}, trust {verdict.trust:.2f}"
    assert len(found.ContentDescription) <= 64  # LO
    (segment,) = found.SegmentSequence
    assert segment.SegmentDescription == f"{verdict.view}; {verdict}"
    by_hand = dicom_seg(read_source(film), reading(film, MASK))
    assert "ContentQualification" not in by_hand
    assert "SegmentDescription" not in by_hand.SegmentSequence[0]
    if shutil.which("dciodvfy"):
        found.save_as(tmp_path / "seg.dcm", enforce_file_format=True)
        assert dciodvfy_errors(tmp_path / "seg.dcm") == []


def test_one_film_and_model_give_one_uid_and_others_another(tmp_path: Path) -> None:
    knee, hip = dicom_film(tmp_path / "knee.dcm"), dicom_film(tmp_path / "hip.dcm")
    first = segmentation_of(knee)
    assert first.SOPInstanceUID == segmentation_of(knee).SOPInstanceUID
    assert first.SOPInstanceUID == segmentation_uid(read_source(knee).SOPInstanceUID, card().model)
    others = [
        segmentation_of(hip),
        segmentation_of(knee, model=card(card_sha256="cd" * 32)),
        segmentation_of(knee, fractional=True),
        segmentation_of(knee, corrected=True),
        segmentation_of(knee, model=None),
    ]
    assert len({first.SOPInstanceUID, *(other.SOPInstanceUID for other in others)}) == 6
    assert first.SeriesInstanceUID not in {other.SeriesInstanceUID for other in others[1:3]}


def test_a_probability_keeps_steps_of_a_255th(tmp_path: Path) -> None:
    one = reading(dicom_film(tmp_path / "knee.dcm"), MASK, card())
    found = pydicom.dcmread(written("dicom-seg-fractional", one, tmp_path))
    assert (found.SegmentationType, found.SegmentationFractionalType) == (
        "FRACTIONAL",
        "PROBABILITY",
    )
    share = found.pixel_array.reshape(MASK.shape) / found.MaximumFractionalValue
    assert np.abs(share - one.probability).max() <= 0.5 / 255 + 1e-6


@needs_dciodvfy
@pytest.mark.parametrize(
    "more",
    [
        {},
        {"SOPClassUID": ComputedRadiographyImageStorage, "Modality": "CR", "InstanceNumber": 12},
        {"SOPClassUID": XRayRadiofluoroscopicImageStorage, "Modality": "RF"},
        {"SOPClassUID": XRayAngiographicImageStorage, "Modality": "XA"},
        {
            "SOPClassUID": DigitalMammographyXRayImageStorageForPresentation,
            "Modality": "MG",
            "PatientOrientation": ["A", "L"],
        },
        {"SOPClassUID": SecondaryCaptureImageStorage, "Modality": "OT"},
        {"FrameOfReferenceUID": generate_uid(), "ImagePositionPatient": [0, 0, 0]},
        {"PatientSex": "male", "PatientBirthDate": "1.1.70", "StudyTime": "noon"},
        {"PatientAge": "050Y", "PatientSize": "1.8", "PatientWeight": "80"},
        {"SpecificCharacterSet": "ISO_IR 100", "PatientName": "Müller^Jörg"},
        {"SpecificCharacterSet": "ISO_IR 999", "PatientName": "Müller^Jörg"},
    ],
    ids=[
        "DX",
        "CR",
        "RF",
        "XA",
        "MG",
        "SC",
        "half a frame of reference",
        "bad",
        "size",
        "latin",
        "odd",
    ],
)
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_dciodvfy_finds_no_error(more: dict[str, Any], tmp_path: Path) -> None:
    film = dicom_film(tmp_path / "film.dcm", **more)
    for kind in ("dicom-seg", "dicom-seg-fractional"):
        path = written(kind, reading(film, MASK, card()), tmp_path)
        assert dciodvfy_errors(path) == []
        assert pydicom.dcmread(path).PatientName == pydicom.dcmread(film).PatientName
    empty = written("dicom-seg", reading(film, np.zeros_like(MASK)), tmp_path)
    assert dciodvfy_errors(empty) == []
    assert not pydicom.dcmread(empty).pixel_array.any()


@needs_data
@needs_dciodvfy
@pytest.mark.parametrize("name", ["hip_cr_monochrome2_rle", "infant_pelvis_dx_rgb_j2k_1"])
def test_dciodvfy_finds_no_error_on_real_films(name: str, tmp_path: Path) -> None:
    film = DATA / "dicom" / f"{name}.dcm"
    source = read_source(film)
    mask = np.random.default_rng(0).random((source.Rows, source.Columns)) > 0.5
    path = written("dicom-seg", reading(film, mask, card()), tmp_path)
    assert dciodvfy_errors(path) == []
    found = highdicom.seg.segread(path)
    pixels = found.get_pixels_by_source_instance([source.SOPInstanceUID], combine_segments=False)
    assert np.array_equal(pixels[0, ..., 0] > 0, mask)


@pytest.mark.parametrize(
    ("keyword", "value"),
    [
        ("PatientBirthDate", "19690100"),
        ("StudyDate", "20190230"),
        ("StudyDate", "20190101-20190201"),
        ("StudyTime", "1000-1200"),
    ],
)
def test_invalid_dates_are_omitted(keyword: str, value: str, tmp_path: Path) -> None:
    source = read_source(dicom_film(tmp_path / "knee.dcm", StudyID="7"))
    source.add(DataElement(keyword, dictionary_VR(keyword), value, validation_mode=config.IGNORE))
    found = dicom_seg(source, reading(tmp_path / "knee.dcm", MASK))
    assert (str(found[keyword].value), found.StudyID) == ("", "7")


def test_sides_that_are_written_as_text_are_read(tmp_path: Path) -> None:
    source = read_source(dicom_film(tmp_path / "knee.dcm"))
    for keyword, side in zip(("Rows", "Columns"), MASK.shape, strict=True):
        source[keyword] = DataElement(keyword, "LO", str(side))  # as some archives hand it on
    found = dicom_seg(source, reading(tmp_path / "knee.dcm", MASK))
    assert (found.Rows, found.Columns) == MASK.shape


def test_a_frame_of_several_is_named(tmp_path: Path) -> None:
    frames = np.stack([np.arange(4800).reshape(60, 80)] * 3).astype(np.uint16)
    more = {"StudyInstanceUID": generate_uid(), "SeriesInstanceUID": generate_uid()}
    film = dicom(tmp_path / "film.dcm", frames, SOPClassUID=XRayAngiographicImageStorage, **more)
    found = pydicom.dcmread(written("dicom-seg", reading(film, MASK, frame=2), tmp_path))
    group = found.PerFrameFunctionalGroupsSequence[0]
    image = group.DerivationImageSequence[0].SourceImageSequence[0]
    assert image.ReferencedFrameNumber == 2
    assert image.ReferencedSOPClassUID == XRayAngiographicImageStorage


def test_a_film_that_cannot_be_referenced_is_refused_in_one_line(tmp_path: Path) -> None:
    one = reading(picture(tmp_path / "knee.png"), MASK)
    with pytest.raises(RadiographError, match=r"is not a DICOM film.*omit dicom-seg"):
        FORMATS["dicom-seg"].write(tmp_path / "out.dcm", one)
    film = dicom_film(tmp_path / "knee.dcm")
    source = read_source(film)
    del source.StudyInstanceUID
    with pytest.raises(RadiographError, match=r"knee\.png: has no valid StudyInstanceUID"):
        dicom_seg(source, one)
    source = read_source(film)
    source.Rows = 61
    with pytest.raises(RadiographError, match="61 x 80 but its bones were found on 60 x 80"):
        dicom_seg(source, one)
    assert not (tmp_path / "out.dcm").exists()


def test_a_segmentation_in_full(tmp_path: Path) -> None:
    film = dicom_film(tmp_path / "knee.dcm", InstanceNumber=4)
    left = MASK.copy()
    left[:, 40:] = False
    one = replace(reading(film, MASK, card()), named={"femur": left, "toes": MASK})
    found = dicom_seg(read_source(film), replace(one, judged=REVIEW))
    assert {key: found[key].value for key in FACTS} == FACTS
    assert found.SoftwareVersions == version("boneseg")
    for segment, known in zip(found.SegmentSequence, SEGMENTS, strict=True):
        (kind,), (group,) = (
            segment[f"SegmentedProperty{of}CodeSequence"] for of in ("Type", "Category")
        )
        region = segment.get("AnatomicRegionSequence")
        place = (region[0].CodeValue, region[0].CodeMeaning) if region else None
        assert not region or region[0].CodingSchemeDesignator == "SCT"
        facts = (segment.SegmentNumber, segment.SegmentLabel, kind.CodeValue, kind.CodeMeaning)
        assert (*facts, place) == known
        assert (group.CodeValue, group.CodingSchemeDesignator) == ("91723000", "SCT")
        assert segment.SegmentDescription == f"{REVIEW.view}; {REVIEW}"
        (made,) = segment.SegmentationAlgorithmIdentificationSequence
        assert (made.AlgorithmName, made.AlgorithmSource) == ("boneseg", "boneseg")
        assert made.AlgorithmVersion == f"{version('boneseg')}, model {'ab' * 8}"
        assert made.AlgorithmFamilyCodeSequence[0].CodeMeaning == "Artificial Intelligence"
    colours = [tuple(one.RecommendedDisplayCIELabValue) for one in found.SegmentSequence]
    assert len(set(colours)) == 2
    pixels = found.pixel_array
    assert np.array_equal(pixels[0] > 0, left) and np.array_equal(pixels[1] > 0, MASK)


FACTS = {
    "Modality": "SEG",
    "SegmentationType": "BINARY",
    "SeriesNumber": 7100,
    "InstanceNumber": 4,
    "Manufacturer": "boneseg",
    "ManufacturerModelName": "boneseg",
    "DeviceSerialNumber": "ab" * 8,
    "ContentLabel": "BONES",
    "ContentDescription": "Bones, mask of each: review, trust 0.81",
    "ContentQualification": "RESEARCH",
    "SeriesDescription": "Bones, mask of each (boneseg)",
}
SEGMENTS = [
    (1, "Femur", "71341001", "Femur", None),
    (2, "Toes", "28641004", "Phalanx", ("56459004", "Foot")),
]


def test_a_verdict_is_on_the_mask_of_a_model_not_on_a_corrected_one(tmp_path: Path) -> None:
    film = dicom_film(tmp_path / "knee.dcm")
    one = replace(reading(film, MASK, card()), judged=REVIEW)
    found = dicom_seg(read_source(film), one, corrected=True)
    assert found.ContentDescription == "Bones, mask"
    assert "SegmentDescription" not in found.SegmentSequence[0]
    other = dicom_seg(read_source(film), replace(one, mask=STRIPES), corrected=True)
    assert found.SOPInstanceUID != other.SOPInstanceUID
    assert found.SeriesInstanceUID == other.SeriesInstanceUID


@pytest.mark.parametrize("keyword", ["StudyInstanceUID", "SeriesInstanceUID"])
def test_films_of_one_series_have_one_series_of_segmentations(keyword: str, tmp_path: Path) -> None:
    one = reading(dicom_film(tmp_path / "knee.dcm"), MASK, card())
    source = read_source(tmp_path / "knee.dcm")
    first = dicom_seg(source, one)
    source.SOPInstanceUID = "1.2.3"
    assert dicom_seg(source, one).SeriesInstanceUID == first.SeriesInstanceUID
    setattr(source, keyword, "1.2.3.4")
    assert dicom_seg(source, one).SeriesInstanceUID != first.SeriesInstanceUID
