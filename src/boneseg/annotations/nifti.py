"""NIfTI: a file for each film; the values are the labels.

How the film lies is told in `writers/nifti.py`; a file that lies in another way is refused.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from boneseg.annotations import Drawing, Drawn, Region, damaged
from boneseg.annotations.nrrd import turned, values
from boneseg.annotations.regions import placed
from boneseg.errors import MaskError


def drawings(path: Path, document: object) -> list[Drawing]:
    """The one film that the file is about; it is read when it is asked for."""
    return [Drawing(partial(_read, path))]


def _read(path: Path) -> Drawn:
    import nibabel

    try:
        image: Any = nibabel.loadsave.load(path)
        data, affine = np.asanyarray(image.dataobj), image.affine
    except MemoryError:
        raise
    except Exception:  # nibabel raises nearly anything for a damaged file
        raise damaged(path, "NIfTI") from None
    if data.ndim == 2:
        data = data[:, :, None]
    if data.ndim != 3 or data.shape[2] != 1 or (data != np.rint(data)).any():
        raise MaskError(f"{path}: is no mask of one slice, in whole numbers; save it so")
    if not (np.diag(affine)[:2] < 0).all() or affine[0, 1] or affine[1, 0]:
        raise turned(path)
    found = values(path, data[:, :, 0].T)
    regions = tuple(Region(label, placed(part, 0, 0), "a value") for label, part in found)
    return Drawn(regions, (data.shape[1], data.shape[0]))
