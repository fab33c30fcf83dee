"""NIfTI: a volume of one slice for each film; the values are the labels, 1 = bone.

The volume has the position that ITK-based programs give a film (see `nrrd.py`). NIfTI's own axes
run to the right and to the front, so the affine has two negative signs. A file with another
orientation is refused.
"""

from __future__ import annotations

import gzip
import math
import struct
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from boneseg._util.files import whole_file
from boneseg.errors import MaskError
from boneseg.masks.formats.nrrd import ALMOST, turned
from boneseg.masks.regions import NO_SLICE, equal, labels_in, whole
from boneseg.masks.segmentation import Segmentation
from boneseg.masks.types import Drawing, Drawn, Region, Shape, affordable, fits

_MOST_BEFORE = 2**24  # bytes before the pixels
_SIZES = (struct.pack("<i", 348), struct.pack("<i", 540))  # of the header, which begins with it


def write(path: Path, segmentation: Segmentation) -> None:
    """Write the mask, compressed with gzip. Raises OutputError."""
    import nibabel

    rows, columns = segmentation.film.spacing_mm or (1.0, 1.0)
    affine = np.diag([-columns, -rows, 1.0, 1.0])
    volume = segmentation.mask.T[:, :, None].astype(np.uint8)
    make: Any = nibabel.nifti1.Nifti1Image
    if max(volume.shape) > np.iinfo(np.int16).max:  # the limit of the first version
        make = nibabel.nifti2.Nifti2Image
    image = make(volume, affine)
    image.header.set_xyzt_units("mm" if segmentation.film.spacing_mm else "unknown")
    image.header["descrip"] = f"boneseg, spacing {segmentation.film.spacing_kind}".encode()
    with whole_file(path) as temporary:
        temporary.write_bytes(gzip.compress(image.to_bytes(), mtime=0))


def drawings(path: Path) -> list[Drawing]:
    """The one film of the file, which is read on demand."""
    return [Drawing(partial(_read, path))]


def _read(path: Path, shape: Shape | None) -> Drawn:
    import nibabel

    _refuse_extensions(path)
    image = nibabel.loadsave.load(path)
    if not isinstance(image, nibabel.spatialimages.SpatialImage):
        raise ValueError("not a picture")
    sides = [int(side) for side in image.shape]
    while len(sides) > 2 and sides[-1] == 1:
        sides.pop()
    if len(sides) != 2:
        raise MaskError(NO_SLICE)
    size = fits((sides[1], sides[0]), shape)
    stored = image.get_data_dtype()
    if stored.kind not in "biuf":
        raise MaskError("holds colours or complex numbers; save it as integer labels")
    affordable(math.prod(sides), stored.itemsize)
    if _is_turned(np.asarray(image.affine, np.float64)):
        raise turned()
    data = whole(np.asanyarray(image.dataobj).reshape(sides)).T
    regions = [Region(str(v), partial(equal, data, v, 0, 0), "a value") for v in labels_in(data)]
    return Drawn(tuple(regions), size)


def _refuse_extensions(path: Path) -> None:
    """Refuse a file with more before its pixels than masks have: nibabel reads and keeps all of it.

    gzip packs a gigabyte of zeros into one megabyte. The length of each extension is the first of
    eight bytes before it (https://nifti.nimh.nih.gov/nifti-1/documentation/nifti1fields/).
    """
    with gzip.open(path) if path.name.lower().endswith(".gz") else path.open("rb") as file:
        head = file.read(_MOST_BEFORE)
    order = "<" if head[:4] in _SIZES else ">"
    second = struct.pack(f"{order}i", 540) == head[:4]
    at, place, form = (540, 168, "q") if second else (348, 108, "f")
    (pixels,) = struct.unpack_from(f"{order}{form}", head, place)
    if head[at : at + 1] in (b"", b"\0"):
        return
    at += 4
    while at + 16 <= pixels:
        (length,) = struct.unpack_from(f"{order}i", head, at)
        if not 8 <= length <= _MOST_BEFORE - 8 - at:
            raise MaskError("has more before its pixels than a mask; save it again")
        at += length


def _is_turned(affine: NDArray[np.float64]) -> bool:
    """Whether x does not point left, or y not backwards; quaternions are rounded."""
    axes = affine[:2, :2]
    if not np.isfinite(axes).all() or not (np.diag(axes) < 0).all():
        return True
    off = abs(axes[0, 1]), abs(axes[1, 0])
    return bool(max(off) > ALMOST * np.abs(np.diag(axes)).min())
