"""DICOM Segmentation of the probability of bone, in steps of 1/255: see `dicom_seg.py`."""

from __future__ import annotations

from pathlib import Path

from boneseg.segmentation import Segmentation
from boneseg.writers.dicom_seg import write as write_segmentation


def write(path: Path, found: Segmentation) -> None:
    """Write the probability. Raises as `dicom_seg.write` does."""
    write_segmentation(path, found, fractional=True)
