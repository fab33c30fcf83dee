"""A mask on disk, in any of the formats that are read.

    mask = read_mask(Path("masks/knee.png"), shape=(1024, 512))

Pictures are read in `picture.py`; files of annotation tools, of 3D Slicer and DICOM
Segmentations in `annotations.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from boneseg.errors import MaskError
from boneseg.masks.annotations import is_annotation, read_annotation
from boneseg.masks.picture import read_picture


def read_mask(
    path: Path | str,
    shape: tuple[int, int] | None = None,
    *,
    film: str | None = None,
    labels: Sequence[str] = (),
) -> NDArray[np.bool_]:
    """Read a mask: bool, height x width, True = bone, as the EXIF orientation shows it.

    All black is an empty mask, all white a full one. In a file of annotations, `film` chooses one
    of several films, and `labels` those that are bone.

    Raises MaskError if the file cannot be decoded, MaskSizeError if its size is not `shape`
    (height, width), and UnclearMaskError if its values are ambiguous.
    """
    path = Path(path)
    if is_annotation(path):
        return read_annotation(path, shape, film=film, labels=labels)
    if labels:
        raise MaskError(f"{path}: is an image, which has no labels; omit --label")
    return read_picture(path, shape)
