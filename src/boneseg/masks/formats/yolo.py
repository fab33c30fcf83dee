"""YOLO segmentation: a text file for each film, a line for each bone.

https://docs.ultralytics.com/datasets/segment/: the class, 0 for bone, and the polygon as parts of
the film's width and height. Holes hang on a cut, as in `labelme.py`. No bone is an empty file.
"""

from __future__ import annotations

from pathlib import Path

from boneseg._util.files import whole_file
from boneseg.masks.polygons import keyhole, outlines
from boneseg.masks.segmentation import Segmentation


def write(path: Path, segmentation: Segmentation) -> None:
    """Write the polygons. Raises OutputError."""
    height, width = segmentation.mask.shape
    lines = []
    for piece in outlines(segmentation.mask, segmentation.tolerance):
        parts = keyhole(piece) / (width, height)
        lines.append(" ".join(["0", *(f"{part:.8f}" for part in parts.ravel())]))
    with whole_file(path) as temporary:
        temporary.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
