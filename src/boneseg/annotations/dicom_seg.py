"""DICOM Segmentation (PS3.3 A.51): it points at its film by UID; labels are those of segments.

Binary ones are masks; a probability has to be cut at a threshold by whoever knows it.
"""

from __future__ import annotations

from collections import defaultdict
from functools import partial
from pathlib import Path

import numpy as np
import pydicom
from pydicom.dataset import Dataset

from boneseg.annotations import Drawing, Drawn, Region
from boneseg.annotations.regions import placed
from boneseg.dicom_header import hush
from boneseg.errors import MaskError


def drawings(path: Path, document: object) -> list[Drawing]:
    """A drawing for each film that is pointed at. Raises MaskError for DICOM of another kind."""
    hush()
    header = _parse(path, pixels=False)
    frames: dict[str | None, list[int]] = defaultdict(list)
    for index, group in enumerate(header.PerFrameFunctionalGroupsSequence):
        frames[_film(header, group)].append(index)
    return [Drawing(partial(_read, path, own), uid=film) for film, own in frames.items()]


def _parse(path: Path, *, pixels: bool) -> Dataset:
    try:
        dataset = pydicom.dcmread(path, stop_before_pixels=not pixels)
        kind, modality = str(dataset.get("SegmentationType", "")), dataset.get("Modality")
    except MemoryError:
        raise
    except Exception:  # pydicom's message could quote the file
        raise MaskError(f"{path}: is damaged, or no DICOM file; export it again") from None
    if modality != "SEG":
        raise MaskError(f"{path}: is DICOM, but no Segmentation; export the mask as one, or as PNG")
    if kind != "BINARY":
        raise MaskError(
            f"{path}: is a {kind.lower()} segmentation, not a binary one; export it as a mask"
        )
    return dataset


def _film(header: Dataset, group: Dataset) -> str | None:
    """The instance that a frame points at, in its own words or in those for all frames."""
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


def _read(path: Path, frames: list[int]) -> Drawn:
    dataset = _parse(path, pixels=True)
    size = int(dataset.Rows), int(dataset.Columns)
    try:
        pixels = np.reshape(dataset.pixel_array, (-1, *size)) > 0
        names = {int(one.SegmentNumber): str(one.SegmentLabel) for one in dataset.SegmentSequence}
        shared = dataset.get("SharedFunctionalGroupsSequence", ())
        regions = []
        for index in frames:
            groups = dataset.PerFrameFunctionalGroupsSequence[index], *shared
            numbers = [g.SegmentIdentificationSequence[0] for g in groups if _identifies(g)]
            label = names[int(numbers[0].ReferencedSegmentNumber)]
            regions.append(Region(label, placed(pixels[index], 0, 0), "a segment"))
    except MemoryError:
        raise
    except Exception:  # pydicom's message could quote the file
        raise MaskError(
            f"{path}: is damaged, or packed in a way not known; export it again"
        ) from None
    return Drawn(tuple(regions), size)


def _identifies(group: Dataset) -> bool:
    return "SegmentIdentificationSequence" in group
