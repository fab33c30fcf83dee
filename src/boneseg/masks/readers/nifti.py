"""NIfTI: a file for each film; the values are the labels.

The orientation is that described in `masks/formats/nifti.py`; a file with another one is refused.
"""

from __future__ import annotations

import math
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from boneseg.errors import MaskError
from boneseg.masks.annotations import Drawing, Drawn, Region, Shape, affordable, fits
from boneseg.masks.readers.nrrd import ALMOST, turned
from boneseg.masks.regions import NO_SLICE, equal, labels_in, whole


def drawings(path: Path, document: object) -> list[Drawing]:
    """The one film that the file is about; it is read when it is asked for."""
    return [Drawing(partial(_read, path))]


def _read(path: Path, shape: Shape | None) -> Drawn:
    import nibabel

    image: Any = nibabel.loadsave.load(path)
    sides = [int(side) for side in image.shape]
    while len(sides) > 2 and sides[-1] == 1:
        sides.pop()
    if len(sides) != 2:
        raise MaskError(NO_SLICE)
    size = fits((sides[1], sides[0]), shape)
    stored = image.get_data_dtype()
    if stored.kind not in "biuf":
        raise MaskError("holds colours or complex numbers; save it as labels, in whole numbers")
    affordable(math.prod(sides), stored.itemsize)
    if _is_turned(np.asarray(image.affine, np.float64)):
        raise turned()
    data = whole(np.asanyarray(image.dataobj).reshape(sides)).T
    regions = [Region(str(v), partial(equal, data, v, 0, 0), "a value") for v in labels_in(data)]
    return Drawn(tuple(regions), size)


def _is_turned(affine: NDArray[np.float64]) -> bool:
    """Whether x does not run to the left, or y not to the back; quaternions leave some noise."""
    axes = affine[:2, :2]
    if not np.isfinite(axes).all() or not (np.diag(axes) < 0).all():
        return True
    off = abs(axes[0, 1]), abs(axes[1, 0])
    return bool(max(off) > ALMOST * np.abs(np.diag(axes)).min())
