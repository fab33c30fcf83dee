"""The mask as 8-bit PNG: 0 and 255, on the film's own grid."""

from __future__ import annotations

from pathlib import Path

from boneseg.masks.read import write_mask
from boneseg.masks.segmentation import Segmentation


def write(path: Path, segmentation: Segmentation) -> None:
    """Write the mask. Raises OutputError."""
    write_mask(path, segmentation.mask)
