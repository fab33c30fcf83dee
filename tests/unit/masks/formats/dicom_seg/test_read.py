"""DICOM Segmentations are read as masks of the film that they refer to."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import highdicom
import numpy as np
import pydicom
import pytest
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import (
    ExplicitVRLittleEndian,
    JPEG2000Lossless,
    RLELossless,
    SegmentationStorage,
    generate_uid,
)

from boneseg.dataset.open import open_dataset
from boneseg.errors import MaskError
from boneseg.masks.annotations import open_annotations
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

FILM, OTHER = "1.2.3.1", "1.2.3.2"
PARTS = (rectangle(), rectangle(40, 10, 50, 41), MASK)


def item(**facts: Any) -> Dataset:
    made = Dataset()
    for keyword, value in facts.items():
        setattr(made, keyword, value)
    return made


def source(film: str) -> Dataset:
    return item(DerivationImageSequence=[item(SourceImageSequence=[reference(film)])])


def reference(film: str) -> Dataset:
    return item(ReferencedSOPInstanceUID=film)


def segment(number: int) -> Dataset:
    return item(SegmentIdentificationSequence=[item(ReferencedSegmentNumber=number)])


def joined(*items: Dataset) -> Dataset:
    made = Dataset()
    for one in items:
        made.update(one)
    return made


def seg(path: Path, frames: Sequence[NDArray[Any]] = PARTS, *, bits: int = 1, **facts: Any) -> Path:
    """A segment for each frame, all of one film, unless the `facts` say otherwise."""
    pixels = np.stack(frames).astype(np.uint8)
    data = np.packbits(pixels, bitorder="little") if bits == 1 else pixels
    made = item(
        SOPClassUID=SegmentationStorage,
        SOPInstanceUID=generate_uid(),
        Modality="SEG",
        SegmentationType="BINARY",
        NumberOfFrames=len(frames),
        Rows=pixels.shape[1],
        Columns=pixels.shape[2],
        SamplesPerPixel=1,
        PhotometricInterpretation="MONOCHROME2",
        BitsAllocated=bits,
        BitsStored=bits,
        HighBit=bits - 1,
        PixelRepresentation=0,
        SegmentSequence=[
            item(SegmentNumber=number, SegmentLabel=f"bone {number}")
            for number in range(1, len(frames) + 1)
        ],
        PerFrameFunctionalGroupsSequence=[
            joined(segment(number), source(FILM)) for number in range(1, len(frames) + 1)
        ],
        PixelData=data.tobytes() + bytes(data.size % 2),
    )
    made.file_meta = FileMetaDataset()
    syntax = facts.pop("syntax", ExplicitVRLittleEndian)
    made.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    for keyword, value in facts.items():
        if value is None:
            delattr(made, keyword)
        else:
            setattr(made, keyword, value)
    if syntax.is_compressed:
        made.compress(syntax)
    made.save_as(path, enforce_file_format=True)
    return path


def line_of(path: Path, shape: tuple[int, int] = SHAPE) -> str:
    """The error of a file without its path."""
    with pytest.raises(MaskError) as caught:
        read_mask(path, shape)
    line = str(caught.value)
    assert line.startswith(f"{path}: ") and len(line.splitlines()) == 1
    return line.removeprefix(f"{path}: ")


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


# --- as any program may write it ---


@pytest.mark.parametrize("bits", [1, 8])
@pytest.mark.parametrize("shape", [SHAPE, (61, 75)], ids=["whole bytes", "frames within a byte"])
def test_every_frame_is_the_mask_of_its_segment(
    bits: int, shape: tuple[int, int], tmp_path: Path
) -> None:
    rows, columns = np.mgrid[: shape[0], : shape[1]]
    frames = [(rows + 2 * columns) % 7 == number for number in range(3)]
    path = seg(tmp_path / "mask.dcm", frames, bits=bits)
    (drawing,) = open_annotations(path)
    drawn = drawing.read(shape)
    assert (drawing.name, drawing.uid, drawn.size) == (None, FILM, shape)
    kinds = [(region.label, region.kind) for region in drawn.regions]
    assert kinds == [(f"bone {number}", "a segment") for number in (1, 2, 3)]
    for number, mask in enumerate(frames, start=1):
        assert np.array_equal(read_mask(path, labels=[f"bone {number}"]), mask)
    assert np.array_equal(read_mask(path, shape), np.logical_or.reduce(frames))


def test_compressed_frames_are_read(tmp_path: Path) -> None:
    path = seg(tmp_path / "mask.dcm", bits=8, syntax=RLELossless)
    for number, mask in enumerate(PARTS, start=1):
        assert np.array_equal(read_mask(path, SHAPE, labels=[f"bone {number}"]), mask)


def test_frames_belong_to_the_films_that_they_reference(tmp_path: Path) -> None:
    groups = [joined(segment(n), source(film)) for n, film in ((1, FILM), (2, OTHER), (3, FILM))]
    path = seg(tmp_path / "mask.dcm", PerFrameFunctionalGroupsSequence=groups)
    assert [one.uid for one in drawings(path)] == [FILM, OTHER]
    assert np.array_equal(read_mask(path, SHAPE, film=FILM), PARTS[0] | PARTS[2])
    assert np.array_equal(read_mask(path, SHAPE, film=OTHER), PARTS[1])


def test_frames_may_share_their_film_and_their_segment(tmp_path: Path) -> None:
    path = seg(
        tmp_path / "mask.dcm",
        PARTS[:1],
        PerFrameFunctionalGroupsSequence=[Dataset()],
        SharedFunctionalGroupsSequence=[joined(segment(1), source(FILM))],
    )
    assert [one.uid for one in drawings(path)] == [FILM]
    assert np.array_equal(read_mask(path, SHAPE, labels=["bone 1"]), PARTS[0])


@pytest.mark.parametrize(
    ("films", "known"), [([[FILM]], FILM), ([[FILM, OTHER]], None), ([[FILM], [OTHER]], None)]
)
def test_the_only_instance_of_the_referenced_series_is_the_film(
    films: list[list[str]], known: str | None, tmp_path: Path
) -> None:
    series = [item(ReferencedInstanceSequence=list(map(reference, one))) for one in films]
    path = seg(
        tmp_path / "mask.dcm",
        PerFrameFunctionalGroupsSequence=[segment(number) for number in (1, 2, 3)],
        ReferencedSeriesSequence=series,
    )
    assert [one.uid for one in drawings(path)] == [known]


def test_a_segmentation_may_reference_nothing(tmp_path: Path) -> None:
    groups = [segment(number) for number in (1, 2, 3)]
    path = seg(tmp_path / "mask.dcm", PerFrameFunctionalGroupsSequence=groups)
    assert [one.uid for one in drawings(path)] == [None]
    facts = {"ReferencedSeriesSequence": [item(SeriesInstanceUID="1.2")]}
    path = seg(path, PerFrameFunctionalGroupsSequence=groups, **facts)
    assert [one.uid for one in drawings(path)] == [None]


DAMAGED = "is damaged, or is not DICOM SEG; export it again"
ANOTHER = "not a binary one; export it as a mask"


@pytest.mark.parametrize(
    ("facts", "line"),
    [
        (
            {"Modality": "DX"},
            "is DICOM, but not a Segmentation; export the mask as one, or as PNG",
        ),
        ({"SegmentationType": "FRACTIONAL"}, f"is a fractional segmentation, {ANOTHER}"),
        ({"SegmentationType": "LABELMAP"}, f"is a labelmap segmentation, {ANOTHER}"),
        ({"SegmentationType": "DOE"}, f"is a segmentation of another type, {ANOTHER}"),
        *(
            (
                {"NumberOfFrames": count},
                f"has {count} frames but describes 3; its frames are ambiguous; export it again",
            )
            for count in (0, 2, 4)
        ),
        *(
            (
                {"PixelData": bytes(length)},
                "a segment labelled bone 1 has more or fewer pixels than its frames; export it "
                "again",
            )
            for length in (1798, 1802)
        ),
        ({"SegmentSequence": [item(SegmentNumber=1)]}, DAMAGED),
        ({"SegmentSequence": [item(SegmentNumber=7, SegmentLabel="a")]}, DAMAGED),
        ({"SegmentSequence": None}, DAMAGED),
        ({"PerFrameFunctionalGroupsSequence": [source(FILM)] * 3}, DAMAGED),
        *(({missing: None}, DAMAGED) for missing in ("Rows", "Columns", "NumberOfFrames")),
        ({"PixelData": None}, "a segment labelled bone 1 is damaged; export it again"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_what_is_no_mask_of_a_film_is_refused(
    facts: dict[str, Any], line: str, tmp_path: Path
) -> None:
    assert line_of(seg(tmp_path / "mask.dcm", **facts)) == line


def test_modality_and_type_may_be_in_lower_case(tmp_path: Path) -> None:
    with pydicom.config.disable_value_validation():
        path = seg(tmp_path / "mask.dcm", Modality="seg", SegmentationType="binary")
    assert np.array_equal(read_mask(path, SHAPE), np.logical_or.reduce(PARTS))


def test_pixels_that_cannot_be_decoded_are_refused(tmp_path: Path) -> None:
    path = seg(tmp_path / "mask.dcm", bits=8, syntax=RLELossless)
    made = pydicom.dcmread(path)
    made.file_meta.TransferSyntaxUID = JPEG2000Lossless
    made.save_as(path)
    assert line_of(path) == (
        "a segment labelled bone 1 is damaged, or has an unknown encoding; export it again"
    )


@pytest.mark.parametrize("content", [b"no", b""])
def test_what_is_not_dicom_is_refused(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "mask.dcm").write_bytes(content)
    told = "is damaged, or is not a DICOM file; export it again"
    assert line_of(tmp_path / "mask.dcm") == told


def test_a_film_has_no_endless_frames(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = seg(tmp_path / "mask.dcm")
    size = SHAPE[0] * SHAPE[1]
    monkeypatch.setattr("boneseg.masks.formats.dicom_seg.read.MAX_PAINTED", 3 * size)
    assert read_mask(path, SHAPE).any()
    monkeypatch.setattr("boneseg.masks.formats.dicom_seg.read.MAX_PAINTED", 3 * size - 1)
    assert line_of(path) == "has 3 frames on one film, too many; is it a mask?"
