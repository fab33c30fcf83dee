"""NRRD and 3D Slicer's `.seg.nrrd`: a file for each film; labels are the names of segments.

https://slicer.readthedocs.io/en/latest/developer_guide/modules/segmentations.html. Where there are
no segments, the values are the labels. Slicer may cut the picture down to what is drawn, and tells
by how much it begins later than the film. How the film lies is told in `writers/nrrd.py`; a file
that lies in another way is refused, for nothing says which way its film was turned.
"""

from __future__ import annotations

import re
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from boneseg.annotations import Drawing, Drawn, Region, damaged
from boneseg.annotations.regions import placed
from boneseg.errors import MaskError

_SIGNS = {"left": 1, "right": -1, "posterior": 1, "anterior": -1}
_SHORT = {"LPS": "left-posterior", "LAS": "left-anterior", "RAS": "right-anterior"}


def drawings(path: Path, document: object) -> list[Drawing]:
    """The one film that the file is about; it is read when it is asked for."""
    return [Drawing(partial(_read, path))]


def _read(path: Path) -> Drawn:
    try:
        return _drawn(path)
    except (MaskError, MemoryError):
        raise
    except Exception:  # pynrrd raises nearly anything for a damaged file, and headers hold anything
        raise damaged(path, "nrrd") from None


def _drawn(path: Path) -> Drawn:
    import nrrd

    if {"data file", "datafile"} & nrrd.read_header(str(path)).keys():
        raise MaskError(f"{path}: keeps its pixels in another file; save it as one")
    data, header = nrrd.read(str(path))
    _refuse_turned(path, header, data.ndim)
    layers = _layers(path, data)
    offset = header.get("Segmentation_ReferenceImageExtentOffset", "0 0")
    left, top = [int(number) for number in offset.split()[:2]]
    regions = _segments(header, layers) or values(path, layers[0])
    placing = [(label, placed(part, left, top)) for label, part in regions]
    size = None if left or top else (layers[0].shape[0], layers[0].shape[1])
    return Drawn(tuple(Region(label, paint, "a segment") for label, paint in placing), size)


def _refuse_turned(path: Path, header: dict[str, Any], dimensions: int) -> None:
    """Refuse a picture whose axes are not those of its film."""
    directions, space = header.get("space directions"), header.get("space")
    if directions is None or space is None:
        return  # plain pixels
    words = _SHORT.get(space[:3].upper(), space).split("-")
    if len(words) < 2 or not {words[0], words[1]} <= _SIGNS.keys():
        raise turned(path)
    axes = np.asarray(directions, np.float64)[-3 if dimensions > 2 else -2 :][:2, :2]
    signed = axes * [_SIGNS[words[0]], _SIGNS[words[1]]]
    if not (np.isfinite(axes).all() and (np.diag(signed) > 0).all()) or axes[0, 1] or axes[1, 0]:
        raise turned(path)


def turned(path: Path) -> MaskError:
    return MaskError(
        f"{path}: is turned or mirrored against its film, by its axes; save it with the film's own "
        "(x to the left, y to the back of the patient: LPS)"
    )


def _layers(path: Path, data: NDArray[Any]) -> list[NDArray[Any]]:
    """Height x width, for each layer of segments."""
    layered = data if data.ndim == 4 else data[None]
    if layered.ndim == 3:
        layered = layered[..., None]
    if layered.ndim != 4 or layered.shape[3] != 1 or layered.dtype.kind not in "bui":
        raise MaskError(f"{path}: is no mask of one slice, in whole numbers; save it so")
    return [layer[:, :, 0].T for layer in layered]


def _segments(header: dict[str, Any], layers: list[NDArray[Any]]) -> list[tuple[str, Any]]:
    numbers = sorted({int(m[1]) for key in header if (m := re.match(r"Segment(\d+)_", key))})
    found = []
    for number in numbers:
        name = str(header.get(f"Segment{number}_Name", f"Segment {number}"))
        # Slicer before 4.11 gave each segment a layer, and numbered none; others have one for all.
        layer = int(header.get(f"Segment{number}_Layer", number if len(layers) > 1 else 0))
        value = int(header.get(f"Segment{number}_LabelValue", 1))
        if layer < 0:
            raise ValueError("a layer before the first")
        found.append((name, layers[layer] == value))
    return found


def values(path: Path, data: NDArray[Any]) -> list[tuple[str, NDArray[np.bool_]]]:
    """Each value but 0 as a label of its own."""
    found = [int(value) for value in np.unique(data) if value]
    if len(found) > 255 or any(value < 0 for value in found):
        raise MaskError(f"{path}: holds {len(found)} values, too many for labels; is it a mask?")
    return [(str(value), data == value) for value in found]
