"""Every format that a finding is written in, opened by the library of its own people."""

from __future__ import annotations

import base64
import csv
import io
import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import highdicom
import nibabel
import nrrd
import numpy as np
import pydicom
import pytest
from PIL import Image
from pycocotools.coco import COCO
from pydicom import config
from pydicom.datadict import dictionary_VR
from pydicom.dataelem import DataElement
from pydicom.uid import (
    ComputedRadiographyImageStorage,
    DigitalMammographyXRayImageStorageForPresentation,
    SecondaryCaptureImageStorage,
    XRayAngiographicImageStorage,
    XRayRadiofluoroscopicImageStorage,
    generate_uid,
)

from boneseg.cli.films import NAMES
from boneseg.errors import RadiographError
from boneseg.masks.formats import FILM_FORMATS, FORMATS
from boneseg.masks.formats.dicom_seg.write import dicom_seg, read_source, segmentation_uid
from boneseg.masks.formats.measurements import extent
from boneseg.masks.output import unique_stems, write_outputs
from boneseg.masks.read import read_mask
from boneseg.masks.segmentation import Segmentation
from boneseg.radiograph.dicom.header import hush
from boneseg.simulate import simulate
from tests.support.films import DATA, PATIENT, dicom, needs_data
from tests.support.readings import blobs, card, dicom_film, picture, reading

MASK = blobs()
needs_dciodvfy = pytest.mark.skipif(
    shutil.which("dciodvfy") is None, reason="needs dciodvfy, of Debian's dicom3tools"
)


def test_the_help_names_every_format() -> None:
    assert NAMES.split(", ") == list(FORMATS)


def written(kind: str, one: Segmentation, folder: Path) -> Path:
    """The file of one format, or its document, in a folder."""
    form = FORMATS[kind]
    path = folder / (form.document or f"film{form.suffix}")
    if form.document:
        form.write_document(path, [form.entry(one)])
    else:
        form.write(path, one)
    return path


def segmentation(source: Path, **more: Any) -> pydicom.Dataset:
    one = reading(source, MASK, more.pop("model", card()))
    return dicom_seg(read_source(source), one, **more)


def errors(path: Path) -> list[str]:
    done = subprocess.run(["dciodvfy", path], capture_output=True, text=True, check=False)
    lines = (done.stdout + done.stderr).splitlines()
    assert any("Segmentation" in line for line in lines)  # it has looked, and knows what it is
    return [line for line in lines if line.startswith("Error")]


# --- DICOM Segmentation ---


def test_a_segmentation_lies_on_its_film_and_points_at_it(tmp_path: Path) -> None:
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


def test_bone_is_said_in_snomed_ct_and_the_model_by_its_digest(tmp_path: Path) -> None:
    found = segmentation(dicom_film(tmp_path / "knee.dcm"))
    (segment,) = found.SegmentSequence
    (kind,) = segment.SegmentedPropertyTypeCodeSequence
    assert (kind.CodeValue, kind.CodingSchemeDesignator) == ("272673000", "SCT")
    assert segment.SegmentAlgorithmType == "AUTOMATIC"
    (algorithm,) = segment.SegmentationAlgorithmIdentificationSequence
    assert "ab" * 8 in algorithm.AlgorithmVersion
    drawn = segmentation(tmp_path / "knee.dcm", model=None).SegmentSequence[0]
    assert drawn.SegmentAlgorithmType == "MANUAL"
    corrected = segmentation(tmp_path / "knee.dcm", corrected=True).SegmentSequence[0]
    assert corrected.SegmentAlgorithmType == "SEMIAUTOMATIC"


def test_one_film_and_model_give_one_uid_and_others_another(tmp_path: Path) -> None:
    knee, hip = dicom_film(tmp_path / "knee.dcm"), dicom_film(tmp_path / "hip.dcm")
    first = segmentation(knee)
    assert first.SOPInstanceUID == segmentation(knee).SOPInstanceUID
    assert first.SOPInstanceUID == segmentation_uid(read_source(knee).SOPInstanceUID, card().model)
    others = [
        segmentation(hip),
        segmentation(knee, model=card(card_sha256="cd" * 32)),
        segmentation(knee, fractional=True),
        segmentation(knee, corrected=True),
        segmentation(knee, model=None),
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
        {"SpecificCharacterSet": "ISO_IR 100", "PatientName": "Müller^Jörg"},
        {"SpecificCharacterSet": "ISO_IR 999", "PatientName": "Müller^Jörg"},
    ],
    ids=["DX", "CR", "RF", "XA", "MG", "SC", "half a frame of reference", "bad", "latin", "odd"],
)
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_dciodvfy_finds_no_error(more: dict[str, Any], tmp_path: Path) -> None:
    hush()
    film = dicom_film(tmp_path / "film.dcm", **more)
    for kind in ("dicom-seg", "dicom-seg-fractional"):
        path = written(kind, reading(film, MASK, card()), tmp_path)
        assert errors(path) == []
        assert pydicom.dcmread(path).PatientName == pydicom.dcmread(film).PatientName
    empty = written("dicom-seg", reading(film, np.zeros_like(MASK)), tmp_path)
    assert errors(empty) == []
    assert not pydicom.dcmread(empty).pixel_array.any()


@needs_data
@needs_dciodvfy
@pytest.mark.parametrize("name", ["hip_cr_monochrome2_rle", "infant_pelvis_dx_rgb_j2k_1"])
def test_dciodvfy_finds_no_error_on_real_films(name: str, tmp_path: Path) -> None:
    film = DATA / "dicom" / f"{name}.dcm"
    source = read_source(film)
    mask = np.random.default_rng(0).random((source.Rows, source.Columns)) > 0.5
    path = written("dicom-seg", reading(film, mask, card()), tmp_path)
    assert errors(path) == []
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
def test_dates_that_are_none_are_left_out(keyword: str, value: str, tmp_path: Path) -> None:
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


def test_what_cannot_be_pointed_at_is_refused_in_one_line(tmp_path: Path) -> None:
    one = reading(picture(tmp_path / "knee.png"), MASK)
    with pytest.raises(RadiographError, match=r"is not a DICOM film.*leave dicom-seg out"):
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


# --- 3D Slicer and NIfTI ---


def test_seg_nrrd_says_what_slicer_asks_for(tmp_path: Path) -> None:
    film = dicom_film(tmp_path / "film.dcm", PixelSpacing=[0.2, 0.1])
    data, header = nrrd.read(str(written("nrrd", reading(film, MASK, card()), tmp_path)))
    assert np.array_equal(data[:, :, 0].T > 0, MASK)  # x to the right of the film, y down
    assert header["space"] == "left-posterior-superior"
    assert np.allclose(header["space directions"], np.diag([0.1, 0.2, 1]))
    assert header["Segment0_Name"] == "Bone"
    assert header["Segment0_Extent"] == "2 79 2 54 0 0"
    assert len([float(level) for level in header["Segment0_Color"].split()]) == 3
    assert "SCT^272673000^Bone" in header["Segment0_Tags"]
    assert header["boneseg_spacing"] == "uncalibrated"


def test_an_empty_segment_has_an_empty_extent(tmp_path: Path) -> None:
    one = reading(picture(tmp_path / "film.png"), np.zeros_like(MASK))
    data, header = nrrd.read(str(written("nrrd", one, tmp_path)))
    assert not data.any()
    assert header["Segment0_Extent"] == "0 -1 0 -1 0 -1"
    assert np.allclose(header["space directions"], np.eye(3))  # as Slicer shows a PNG


def test_nifti_lies_as_seg_nrrd_does(tmp_path: Path) -> None:
    film = dicom_film(tmp_path / "film.dcm", PixelSpacing=[0.2, 0.1])
    image = nibabel.load(written("nifti", reading(film, MASK), tmp_path))
    assert np.array_equal(np.asarray(image.dataobj)[:, :, 0].T > 0, MASK)
    assert nibabel.aff2axcodes(image.affine) == ("L", "P", "S")
    assert image.header.get_zooms() == pytest.approx((0.1, 0.2, 1))
    assert image.header.get_xyzt_units()[0] == "mm"


# --- annotation tools ---


@pytest.mark.parametrize("kind", ["coco", "coco-polygons"])
def test_pycocotools_finds_the_mask(kind: str, tmp_path: Path) -> None:
    one = reading(picture(tmp_path / "knee.png"), MASK)
    document = COCO(written(kind, one, tmp_path))
    (image,) = document.loadImgs(document.getImgIds())
    assert image == {"id": 1, "file_name": "knee.png", "width": 80, "height": 60}
    annotations = document.loadAnns(document.getAnnIds(imgIds=[1], iscrowd=0))
    assert len(annotations) == 4
    found = np.logical_or.reduce([document.annToMask(one) > 0 for one in annotations])
    if kind == "coco":
        assert np.array_equal(found, MASK)
        assert sum(one["area"] for one in annotations) == MASK.sum()
    else:  # pycocotools paints by a rule of its own
        assert (found != MASK).mean() < 0.01
    assert document.loadCats(1)[0]["name"] == "bone"


def test_labelme_is_given_pictures_by_path_and_dicom_within(tmp_path: Path) -> None:
    film = picture(tmp_path / "films" / "knee.png")
    found = json.loads(written("labelme", reading(film, MASK), tmp_path).read_text())
    assert (found["imagePath"], found["imageData"]) == ("films/knee.png", None)
    assert (found["imageHeight"], found["imageWidth"]) == MASK.shape
    assert {shape["shape_type"] for shape in found["shapes"]} == {"polygon"}
    one = reading(dicom_film(tmp_path / "knee.dcm"), MASK)
    found = json.loads(written("labelme", one, tmp_path).read_text())
    shown = np.asarray(Image.open(io.BytesIO(base64.b64decode(found["imageData"]))))
    assert np.abs(shown / 255 - one.film.pixels).max() <= 0.5 / 255 + 1e-6
    assert PATIENT not in json.dumps(found)


def test_yolo_lines_are_a_class_and_parts_of_the_film(tmp_path: Path) -> None:
    path = written("yolo", reading(picture(tmp_path / "knee.png"), MASK), tmp_path)
    lines = [line.split() for line in path.read_text().splitlines()]
    assert len(lines) == 4
    assert {line[0] for line in lines} == {"0"}
    assert all(0 <= float(part) <= 1 for line in lines for part in line[1:])
    none = reading(tmp_path / "knee.png", np.zeros_like(MASK))
    assert written("yolo", none, tmp_path).read_text() == ""


def test_label_studio_is_given_predictions_of_a_model_and_annotations_of_a_person(
    tmp_path: Path,
) -> None:
    film = picture(tmp_path / "knee.png")
    (task,) = json.loads(written("label-studio", reading(film, MASK, card()), tmp_path).read_text())
    assert task["predictions"][0]["model_version"] == "boneseg abababababab"
    assert "annotations" not in task
    (task,) = json.loads(written("label-studio", reading(film, MASK), tmp_path).read_text())
    assert task["data"]["image"].endswith("?d=knee.png")
    assert len(task["annotations"]) == 1


def test_a_probability_png_has_16_bits(tmp_path: Path) -> None:
    one = reading(picture(tmp_path / "knee.png"), MASK, card())
    levels = np.asarray(Image.open(written("probability", one, tmp_path)))
    assert levels.dtype == np.uint16
    assert np.abs(levels / 65535 - one.probability).max() < 1e-5


# --- measurements ---


def test_measurements_are_a_row_a_piece(tmp_path: Path) -> None:
    mask = np.zeros((60, 80), bool)
    mask[10:50, 20:30] = True  # a bar of 40 x 10 pixels, upright
    mask[5, 5] = True
    film = dicom_film(tmp_path / "knee.dcm", ImagerPixelSpacing=[0.5, 0.2])
    with written("measurements", reading(film, mask), tmp_path).open() as file:
        bar, dot = csv.DictReader(file)
    assert (bar["film"], bar["piece"], dot["piece"]) == ("knee.dcm", "1", "2")
    assert (float(bar["x"]), float(bar["y"])) == (25, 30)
    assert (float(bar["area_px"]), float(bar["area_mm2"])) == (400, 40)
    assert (float(bar["length_px"]), float(bar["length_mm"])) == (40, 20)
    assert (float(bar["width_px"]), float(bar["width_mm"])) == (10, 2)
    assert (bar["angle_degrees"], bar["spacing"]) == ("0.0", "detector")
    assert (float(dot["length_px"]), float(dot["width_px"])) == (1, 1)


def test_a_film_without_bones_has_a_row_and_one_without_spacing_no_mm(tmp_path: Path) -> None:
    film = picture(tmp_path / "knee.png")
    with written("measurements", reading(film, np.zeros_like(MASK)), tmp_path).open() as file:
        (row,) = csv.DictReader(file)
    assert (row["piece"], row["area_px"], row["length_px"]) == ("0", "0", "")
    with written("measurements", reading(film, MASK), tmp_path).open() as file:
        rows = list(csv.DictReader(file))
    assert {row["length_mm"] for row in rows} == {""}
    assert {row["spacing"] for row in rows} == {"unknown"}
    assert sum(int(row["area_px"]) for row in rows) == MASK.sum()


@pytest.mark.parametrize("degrees", [0, 20, 45, 70, -30])
def test_a_slanting_bar_keeps_its_length_and_tells_its_angle(degrees: float) -> None:
    rows, columns = np.mgrid[:400, :400] + 0.5 - 200
    turn = np.radians(degrees)
    along = rows * np.cos(turn) - columns * np.sin(turn)
    across = rows * np.sin(turn) + columns * np.cos(turn)
    found = extent(np.argwhere((np.abs(along) < 150) & (np.abs(across) < 20)))
    assert found.length == pytest.approx(300, abs=2.5)
    assert found.width == pytest.approx(40, abs=2.5)
    assert found.degrees == pytest.approx(degrees, abs=0.5)


# --- the command line ---


def boneseg(*words: object) -> subprocess.CompletedProcess[str]:
    call = [sys.executable, "-c", "from boneseg.cli import main; main()", *map(str, words)]
    return subprocess.run(call, capture_output=True, text=True, check=False)


def test_segment_writes_every_format_and_all_say_the_same(tmp_path: Path) -> None:
    films, out = tmp_path / "films", tmp_path / "out"
    simulate(films, 1, seed=3, size=(96, 80))
    dicom_film(films / "images" / "hip.dcm", 96, 80, ImagerPixelSpacing=[0.2, 0.2])
    kinds = [kind for kind in FORMATS if not kind.startswith("dicom-seg")]
    done = boneseg("segment", films / "images", "--out", out, "--format", ",".join(kinds))
    assert done.returncode == 0, done.stderr
    results = json.loads((out / "segment.json").read_text())
    assert [list(result["outputs"]) for result in results] == [sorted(kinds, key=order)] * 2
    assert {path.name for path in out.iterdir()} == {
        "segment.json",
        *(name for result in results for name in result["outputs"].values()),
    }
    for result in results:
        mask = read_mask(out / result["outputs"]["mask"])
        assert mask.sum() == result["area_px"]
        spacing = "detector" if "hip" in result["input"] else "unknown"
        assert (result["spacing"], result["area_mm2"] is None) == (spacing, spacing == "unknown")
        for kind in ("nrrd", "nifti", "labelme", "yolo"):
            assert np.array_equal(read_mask(out / result["outputs"][kind], mask.shape), mask)
        film = Path(result["input"]).name
        for kind in ("coco", "coco-polygons", "cvat"):
            found = read_mask(out / result["outputs"][kind], mask.shape, film=film)
            assert np.array_equal(found, mask)


def order(kind: str) -> bool:
    """Files come before documents."""
    return bool(FORMATS[kind].document)


def test_a_film_without_dicom_lacks_the_dicom_outputs_alone(tmp_path: Path) -> None:
    knee, hip = picture(tmp_path / "knee.png"), dicom_film(tmp_path / "hip.dcm")
    words = ["--out", tmp_path / "out", "--format", "mask,coco,dicom-seg"]
    done = boneseg("segment", knee, hip, *words)
    assert done.returncode == 0
    (line,) = [line for line in done.stderr.splitlines() if "skipped" in line]
    assert line.startswith(f"warning: {knee}: ")
    assert "dicom-seg is skipped: is not a DICOM film" in line
    names = {"coco.json", "hip.seg.dcm", "hip_mask.png", "knee_mask.png", "segment.json"}
    assert {path.name for path in (tmp_path / "out").iterdir()} == names
    images = json.loads((tmp_path / "out" / "coco.json").read_text())["images"]
    assert [image["file_name"] for image in images] == ["knee.png", "hip.dcm"]


def test_a_writer_that_breaks_down_leaves_nothing_of_its_film(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def break_down(*_: object) -> None:
        raise RuntimeError("a bug of a library")

    monkeypatch.setitem(FILM_FORMATS, "nrrd", replace(FILM_FORMATS["nrrd"], write=break_down))
    one = reading(picture(tmp_path / "knee.png"), MASK)
    with pytest.raises(RuntimeError, match="a bug"):
        write_outputs(one, tmp_path / "out", ["mask", "nrrd"])
    assert [path.name for path in tmp_path.iterdir()] == ["knee.png"]


def test_a_document_beside_the_films_is_spared(tmp_path: Path) -> None:
    knee = picture(tmp_path / "knee.png")
    (tmp_path / "coco.json").write_text("mine")
    done = boneseg("segment", knee, "--out", tmp_path, "--format", "coco")
    assert done.returncode == 2
    assert "coco.json: would be replaced" in done.stderr
    assert (tmp_path / "coco.json").read_text() == "mine"


def test_masks_that_people_drew_for_the_films_are_spared(tmp_path: Path) -> None:
    for folder in ("images", "masks", "elsewhere"):
        (tmp_path / folder).mkdir()
    picture(tmp_path / "images" / "knee.png")
    for folder in ("masks", "elsewhere"):
        (tmp_path / folder / "knee_mask.png").write_text("drawn by hand")
    done = boneseg("segment", tmp_path, "--out", tmp_path / "masks", "--format", "mask")
    assert done.returncode == 2
    assert "knee_mask.png: would be replaced" in done.stderr
    assert (tmp_path / "masks" / "knee_mask.png").read_text() == "drawn by hand"
    done = boneseg("segment", tmp_path / "images", "--out", tmp_path / "elsewhere")
    assert done.returncode == 0, done.stderr  # as when a call is made again


def test_a_film_called_as_a_document_does_not_replace_it(tmp_path: Path) -> None:
    picture(tmp_path / "coco.png")
    words = ["--out", tmp_path / "out", "--format", "coco,labelme"]
    done = boneseg("segment", tmp_path / "coco.png", *words)
    assert done.returncode == 0, done.stderr
    names = {"coco-2.json", "coco.json", "segment.json"}
    assert {path.name for path in (tmp_path / "out").iterdir()} == names


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere names are text")
def test_films_of_long_names_and_of_names_that_are_no_text_are_written(tmp_path: Path) -> None:
    films = [picture(tmp_path / f"{'x' * 250}.png"), tmp_path / os.fsdecode(b"h\xfcfte.png")]
    shutil.copy(films[0], films[1])
    kinds = "mask,overlay,cvat,measurements,labelme,label-studio"
    done = boneseg("segment", *films, "--out", tmp_path / "out", "--format", kinds)
    assert done.returncode == 0, done.stderr
    for result in json.loads((tmp_path / "out" / "segment.json").read_text()):
        assert all((tmp_path / "out" / name).is_file() for name in result["outputs"].values())
    told = {films[0].name, "h\\udcfcfte.png"}
    with (tmp_path / "out" / "measurements.csv").open() as file:
        assert {row["film"] for row in csv.DictReader(file)} == told
    document = ElementTree.parse(tmp_path / "out" / "annotations.xml")
    assert {image.get("name") for image in document.iter("image")} == told


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere names have no such signs")
def test_control_characters_of_a_name_leave_xml_that_can_be_read(tmp_path: Path) -> None:
    films = [picture(tmp_path / name) for name in ("knee\x1b[1m.png", "two\nlines.png")]
    done = boneseg("segment", *films, "--out", tmp_path / "out", "--format", "cvat")
    assert done.returncode == 0, done.stderr
    document = ElementTree.parse(tmp_path / "out" / "annotations.xml")
    names = {image.get("name") for image in document.iter("image")}
    assert names == {"knee\\x1b[1m.png", "two\nlines.png"}
    assert "\x1b" not in done.stderr and "two\\x0alines.png" in done.stderr


def test_films_of_one_name_are_told_apart_in_documents(tmp_path: Path) -> None:
    films = [picture(tmp_path / place) for place in ("a/knee.png", "b/knee.png", "b/hip.png")]
    done = boneseg("segment", *films, "--out", tmp_path / "x", "--format", "coco,measurements")
    assert done.returncode == 0, done.stderr
    called = [films[0].as_posix(), films[1].as_posix(), "hip.png"]
    images = json.loads((tmp_path / "x" / "coco.json").read_text())["images"]
    assert [image["file_name"] for image in images] == called
    with (tmp_path / "x" / "measurements.csv").open() as file:
        assert {row["film"] for row in csv.DictReader(file)} == set(called)


def test_no_output_of_a_film_replaces_that_of_another(tmp_path: Path) -> None:
    films = [tmp_path / name for name in ("knee.dcm", "knee_probability.dcm", "Knee.png")]
    kinds = ["dicom-seg", "dicom-seg-fractional"]
    assert list(unique_stems(films, kinds)) == ["knee", "knee_probability-2", "Knee-2"]
    assert list(unique_stems(films, ["mask"])) == ["knee", "knee_probability", "Knee-2"]
    assert next(unique_stems(films, ["labelme"], ["knee.json"])) == "knee-2"
