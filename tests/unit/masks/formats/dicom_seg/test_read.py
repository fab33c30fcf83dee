"""DICOM Segmentations are read as masks of the film that they refer to."""

from __future__ import annotations

from pathlib import Path

import highdicom
import numpy as np
import pydicom
import pytest

from boneseg.dataset.open import open_dataset
from boneseg.errors import MaskError
from boneseg.masks.formats import FORMATS
from boneseg.masks.formats.dicom_seg.read import drawings
from boneseg.masks.formats.png import write_mask
from boneseg.masks.read import read_mask
from tests.support.polygons import (
    film,
    segmentation,
)
from tests.support.readings import MASK, dicom_film, reading
from tests.support.regions import SHAPE, Mask, rectangle


def several(path: Path, *masks: Mask) -> None:
    """A SEG of one film with a segment for each mask; 61 x 80 px: frames end within a byte."""
    film = pydicom.dcmread(dicom_film(path.with_name("film.dcm"), *masks[0].shape))
    description = highdicom.seg.SegmentDescription
    bone = pydicom.sr.codedict.codes.SCT.Bone
    segments = [
        description(number, f"bone {number}", bone, bone, "MANUAL")
        for number in range(1, len(masks) + 1)
    ]
    for keyword in ("PatientBirthDate", "PatientSex", "AccessionNumber", "StudyID"):
        setattr(film, keyword, "")
    film.StudyDate = film.StudyTime = film.ReferringPhysicianName = ""
    film.SOPClassUID = pydicom.uid.ComputedRadiographyImageStorage
    made = highdicom.seg.Segmentation(
        source_images=[film],
        pixel_array=np.stack(masks, axis=-1)[None].astype(np.uint8),
        segmentation_type="BINARY",
        segment_descriptions=segments,
        series_instance_uid=pydicom.uid.generate_uid(),
        series_number=1,
        sop_instance_uid=pydicom.uid.generate_uid(),
        instance_number=1,
        manufacturer="x",
        manufacturer_model_name="x",
        software_versions="1",
        device_serial_number="1",
    )
    made.save_as(path, enforce_file_format=True)


def test_every_frame_of_a_segmentation_is_read(tmp_path: Path) -> None:
    rows, columns = np.mgrid[:61, :75]
    masks = [(rows + 2 * columns) % 7 == number for number in range(3)]
    several(tmp_path / "mask.dcm", *masks)
    assert np.array_equal(read_mask(tmp_path / "mask.dcm", (61, 75)), sum(masks) > 0)
    for number, mask in enumerate(masks, start=1):
        found = read_mask(tmp_path / "mask.dcm", (61, 75), labels=[f"bone {number}"])
        assert np.array_equal(found, mask)


def test_a_film_is_known_by_the_only_instance_of_the_referenced_series(tmp_path: Path) -> None:
    found = segmentation(tmp_path / "mask.dcm")
    for groups in (
        *found.PerFrameFunctionalGroupsSequence,
        *found.get("SharedFunctionalGroupsSequence", ()),
    ):
        groups.pop("DerivationImageSequence", None)
    instances = found.ReferencedSeriesSequence[0].ReferencedInstanceSequence
    found.save_as(tmp_path / "mask.dcm")
    (one,) = drawings(tmp_path / "mask.dcm")
    assert one.uid == instances[0].ReferencedSOPInstanceUID
    instances.append(instances[0])
    found.save_as(tmp_path / "mask.dcm")
    (one,) = drawings(tmp_path / "mask.dcm")
    assert one.uid is None


@pytest.mark.parametrize("frames", [2, 0])
def test_a_segmentation_of_more_or_fewer_frames_than_it_describes_is_refused(
    frames: int, tmp_path: Path
) -> None:
    found = segmentation(tmp_path / "mask.dcm")
    found.NumberOfFrames = frames
    found.PixelData = found.PixelData * 2
    found.save_as(tmp_path / "mask.dcm")
    with pytest.raises(MaskError, match=f"has {frames} frames but describes 1"):
        read_mask(tmp_path / "mask.dcm", SHAPE)


@pytest.mark.parametrize("keyword", ["Rows", "SegmentSequence", "PixelData", "NumberOfFrames"])
def test_a_segmentation_without_what_it_needs_is_refused(keyword: str, tmp_path: Path) -> None:
    found = segmentation(tmp_path / "mask.dcm")
    delattr(found, keyword)
    found.save_as(tmp_path / "mask.dcm")
    with pytest.raises(MaskError, match=r"mask.dcm: .*(is damaged|not known)"):
        read_mask(tmp_path / "mask.dcm", SHAPE)


def test_a_frame_of_an_unknown_segment_is_refused(tmp_path: Path) -> None:
    found = segmentation(tmp_path / "mask.dcm")
    found.SegmentSequence[0].SegmentNumber = 7
    found.save_as(tmp_path / "mask.dcm")
    with pytest.raises(MaskError, match="is damaged"):
        read_mask(tmp_path / "mask.dcm", SHAPE)


def test_a_fractional_segmentation_is_recognised_under_any_file_name(tmp_path: Path) -> None:
    film = dicom_film(tmp_path / "images" / "knee.dcm")
    (tmp_path / "masks").mkdir()
    FORMATS["dicom-seg-fractional"].write(tmp_path / "masks" / "IM1", reading(film, MASK))
    (case,) = open_dataset(tmp_path).cases
    with pytest.raises(MaskError, match="IM1: is a fractional segmentation, not a binary one"):
        case.read_mask(SHAPE)


def test_a_film_without_a_uid_takes_no_other_film_s_mask(tmp_path: Path) -> None:
    """A mask without a UID and a film without one have nothing in common."""
    seen = dicom_film(tmp_path / "images" / "knee.dcm")
    other = pydicom.dcmread(dicom_film(tmp_path / "images" / "hip.dcm"))
    other.SOPInstanceUID = ""
    other.save_as(tmp_path / "images" / "hip.dcm")
    (tmp_path / "masks").mkdir()
    FORMATS["dicom-seg"].write(tmp_path / "masks" / "IM1", reading(seen, MASK))
    film(tmp_path / "images" / "foot.png")
    write_mask(tmp_path / "masks" / "foot.png", rectangle())
    found = {case.name: case.mask.name for case in open_dataset(tmp_path).cases}
    assert found == {"knee": "IM1", "foot": "foot.png"}


def test_a_deflated_segmentation_is_read(tmp_path: Path) -> None:
    found = segmentation(tmp_path / "mask.dcm")
    found.file_meta.TransferSyntaxUID = pydicom.uid.DeflatedExplicitVRLittleEndian
    found.save_as(tmp_path / "mask.dcm")
    assert np.array_equal(read_mask(tmp_path / "mask.dcm", SHAPE), MASK)
