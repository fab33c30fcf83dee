"""DICOM Segmentation (PS3.3 A.51): references its film by UID; labels are those of segments.

Only binary ones are masks; a probability needs a threshold, which the file does not give.
"""

from __future__ import annotations

from collections import defaultdict
from functools import partial
from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset, FileDataset

from boneseg.errors import MaskError, RadiographError
from boneseg.masks.regions import placed
from boneseg.masks.types import MAX_PAINTED, Drawing, Drawn, Mask, Patch, Region, Shape, fits
from boneseg.radiograph.dicom.file import read_file
from boneseg.radiograph.dicom.header import text_of
from boneseg.radiograph.dicom.pixels import decode

_TYPES = ("FRACTIONAL", "LABELMAP")  # other than BINARY (C.8.20.2); unknown values are not quoted


def drawings(path: Path) -> list[Drawing]:
    """A drawing for each referenced film. Raises MaskError for DICOM of another kind."""
    header = _parse(path, pixels=False)
    frames: dict[str | None, list[int]] = defaultdict(list)
    for index, group in enumerate(header.PerFrameFunctionalGroupsSequence):
        frames[_film(header, group)].append(index)
    return [Drawing(partial(_read, path, own), uid=film) for film, own in frames.items()]


def _parse(path: Path, *, pixels: bool) -> FileDataset:
    try:
        dataset = read_file(path, pixels=pixels, force=False)
        modality = text_of(dataset, "Modality").upper()
    except MemoryError:
        raise
    except Exception:  # pydicom's message could quote the file
        raise MaskError("is damaged, or is not a DICOM file; export it again") from None
    if modality != "SEG":
        raise MaskError("is DICOM, but not a Segmentation; export the mask as one, or as PNG")
    return dataset


def _film(header: Dataset, group: Dataset) -> str | None:
    """The instance that a frame references, itself or through the shared functional groups."""
    for groups in (group, *header.get("SharedFunctionalGroupsSequence", ())):
        for derivation in groups.get("DerivationImageSequence", ()):
            for image in derivation.get("SourceImageSequence", ()):
                return str(image.ReferencedSOPInstanceUID)
    instances = [
        str(instance.ReferencedSOPInstanceUID)
        for series in header.get("ReferencedSeriesSequence", ())
        for instance in series.get("ReferencedInstanceSequence", ())
    ]
    return instances[0] if len(instances) == 1 else None


def _read(path: Path, frames: list[int], shape: Shape | None) -> Drawn:
    dataset = _parse(path, pixels=True)
    if (kind := text_of(dataset, "SegmentationType").upper()) != "BINARY":
        known = (
            f"a {kind.lower()} segmentation" if kind in _TYPES else "a segmentation of another type"
        )
        raise MaskError(f"is {known}, not a binary one; export it as a mask")
    size = fits((int(dataset.Rows), int(dataset.Columns)), shape)
    groups, count = dataset.PerFrameFunctionalGroupsSequence, int(dataset.NumberOfFrames)
    if count != len(groups):
        raise MaskError(
            f"has {count} frames but describes {len(groups)}; its frames are ambiguous; "
            "export it again"
        )
    if len(frames) * size[0] * size[1] > MAX_PAINTED:
        raise MaskError(f"has {len(frames)} frames on one film, too many; is it a mask?")
    names = {int(one.SegmentNumber): str(one.SegmentLabel) for one in dataset.SegmentSequence}
    shared = dataset.get("SharedFunctionalGroupsSequence", ())
    regions = []
    for index in frames:
        numbers = [
            group.SegmentIdentificationSequence[0]
            for group in (groups[index], *shared)
            if "SegmentIdentificationSequence" in group
        ]
        label = names[int(numbers[0].ReferencedSegmentNumber)]
        regions.append(Region(label, partial(_painted, dataset, index, path), "a segment"))
    return Drawn(tuple(regions), size)


def _painted(dataset: FileDataset, index: int, path: Path, shape: Shape) -> Patch:
    if int(dataset.BitsAllocated) == 1 and not dataset.file_meta.TransferSyntaxUID.is_compressed:
        return placed(Patch(_bits(dataset, index, shape)), 0, 0, shape)
    try:
        pixels = decode(dataset, index, path)
    except RadiographError:
        raise MaskError("is damaged, or has an unknown encoding; export it again") from None
    if pixels.shape != shape:
        raise ValueError("a frame of another size")
    return placed(Patch(np.asarray(pixels > 0)), 0, 0, shape)


def _bits(dataset: FileDataset, index: int, shape: Shape) -> Mask:
    """A frame of one bit a pixel; frames follow each other within a byte (PS3.5, 8.1.1)."""
    size, packed = shape[0] * shape[1], dataset.PixelData
    whole = -(-size * int(dataset.NumberOfFrames) // 8)
    if not whole <= len(packed) <= whole + whole % 2:
        raise MaskError("has more or fewer pixels than its frames; export it again")
    first, last = size * index, size * (index + 1)
    data = np.frombuffer(packed[first // 8 : -(-last // 8)], np.uint8)
    bits = np.unpackbits(data, bitorder="little")[first % 8 :][:size]
    return bits.reshape(shape).astype(bool)
