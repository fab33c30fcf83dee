"""NIfTI: the mask as a volume of one slice, 1 = bone.

It lies where readers of the ITK family lay a film (see `nrrd.py`), which NIfTI's own axes, to the
right and to the front, say with two minus signs. It has no names: the label of bone is 1.
"""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import nibabel
import numpy as np

from boneseg._util.files import whole_file
from boneseg.masks.segmentation import Segmentation


def write(path: Path, segmentation: Segmentation) -> None:
    """Write the mask, packed with gzip. Raises OutputError."""
    rows, columns = segmentation.film.spacing_mm or (1.0, 1.0)
    affine = np.diag([-columns, -rows, 1.0, 1.0])
    volume = segmentation.mask.T[:, :, None].astype(np.uint8)
    make: Any = nibabel.nifti1.Nifti1Image
    if max(volume.shape) > np.iinfo(np.int16).max:  # the most that the first version has room for
        make = nibabel.nifti2.Nifti2Image
    image = make(volume, affine)
    image.header.set_xyzt_units("mm" if segmentation.film.spacing_mm else "unknown")
    image.header["descrip"] = f"boneseg, spacing {segmentation.film.spacing_kind}".encode()
    with whole_file(path) as temporary:
        temporary.write_bytes(gzip.compress(image.to_bytes(), mtime=0))
