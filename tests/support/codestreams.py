"""Compressed frames, and ways to damage them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pydicom
from pydicom.encaps import encapsulate, get_frame
from pydicom.uid import (
    JPEG2000Lossless,
    JPEGBaseline8Bit,
)

from tests.support import films


def pack(path: Path, syntax: str = JPEG2000Lossless) -> Path:
    pixels = films.bone()
    if syntax == JPEGBaseline8Bit:
        pixels = (pixels >> 4).astype(np.uint8)
    return films.dicom(path, pixels, syntax)


def change(path: Path, frame: bytes | None = None, **header: object) -> Path:
    """Another frame, or other words in the header."""
    dataset = pydicom.dcmread(path)
    for keyword, value in header.items():
        setattr(dataset, keyword, value)
    if frame is not None:
        dataset.PixelData = encapsulate([frame])
    dataset.save_as(path)
    return path


def frame_of(path: Path) -> bytes:
    return get_frame(pydicom.dcmread(path).PixelData, 0, number_of_frames=1)
