"""DICOM Segmentation of the probability of bone, in steps of 1/255: see `dicom_seg.py`."""

from __future__ import annotations

from pathlib import Path

from boneseg.writers import Reading
from boneseg.writers.dicom_seg import write as write_segmentation


def write(path: Path, reading: Reading) -> None:
    """Write the probability. Raises as `dicom_seg.write` does."""
    write_segmentation(path, reading, fractional=True)
