"""DICOM Segmentation (PS3.3 A.51), of the mask or of the probability of bone.

The modules are imported at the first call: pydicom and highdicom are slow to import.
"""

from __future__ import annotations

from pathlib import Path

from boneseg.masks.segmentation import Segmentation
from boneseg.masks.types import Drawing

LIBRARY = "highdicom"  # that writes them, and structured reports; nothing else needs it


def write_mask(path: Path, segmentation: Segmentation) -> None:
    """Write the mask. Raises as `write.write` does."""
    from boneseg.masks.formats.dicom_seg.write import write

    write(path, segmentation)


def write_probability(path: Path, segmentation: Segmentation) -> None:
    """Write the probability, in steps of 1/255. Raises as `write.write` does."""
    from boneseg.masks.formats.dicom_seg.write import write

    write(path, segmentation, fractional=True)


def drawings(path: Path) -> list[Drawing]:
    """A drawing for each referenced film. Raises as `read.drawings` does."""
    from boneseg.masks.formats.dicom_seg.read import drawings

    return drawings(path)
