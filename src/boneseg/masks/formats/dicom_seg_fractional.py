"""DICOM Segmentation of the probability of bone, in steps of 1/255: see `dicom_seg.py`."""

from __future__ import annotations

from pathlib import Path

from boneseg.masks.formats.dicom_seg import write as write_segmentation
from boneseg.masks.segmentation import Segmentation


def write(path: Path, found: Segmentation) -> None:
    """Write the probability. Raises as `dicom_seg.write` does."""
    write_segmentation(path, found, fractional=True)
