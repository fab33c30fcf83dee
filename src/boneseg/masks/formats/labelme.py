"""LabelMe: a JSON for each film, its bones as polygons that can be edited.

https://github.com/wkentaro/labelme; its author's own way to draw a hole is a polygon that goes in
along a cut, around the hole and out again (issue 245), and so holes are written.

LabelMe reads no DICOM: such a film goes into the JSON as a picture. Others are named by their path
as seen from the JSON.
"""

from __future__ import annotations

import base64
import io
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from boneseg._util.files import whole_file
from boneseg.masks.formats import BONE
from boneseg.masks.polygons import keyhole, outlines
from boneseg.masks.segmentation import Segmentation
from boneseg.masks.simplification import Ring
from boneseg.radiograph.read import is_dicom

VERSION = "5.5.0"  # of the format; LabelMe warns of another major one


def write(path: Path, segmentation: Segmentation) -> None:
    """Write the polygons. Raises OutputError."""
    film = segmentation.film
    height, width = segmentation.mask.shape
    linked = film.frame == 1 and segmentation.name == film.source and not is_dicom(film.source)
    pieces = outlines(segmentation.mask, segmentation.tolerance)
    document = {
        "version": VERSION,
        "flags": {},
        "shapes": [_shape(keyhole(piece)) for piece in pieces],
        "imagePath": _seen_from(path, film.source) if linked else segmentation.name.name,
        "imageData": None if linked else _picture(film.pixels),
        "imageHeight": height,
        "imageWidth": width,
    }
    with whole_file(path) as temporary:
        temporary.write_text(json.dumps(document), encoding="utf-8")


def _shape(ring: Ring) -> dict[str, Any]:
    return {
        "label": BONE,
        "points": ring.round(3).tolist(),
        "group_id": None,
        "description": "",
        "shape_type": "polygon",
        "flags": {},
    }


def _seen_from(path: Path, film: Path) -> str:
    try:
        return Path(os.path.relpath(film, path.parent)).as_posix()
    except ValueError:  # on another drive
        return str(film)


def _picture(pixels: np.ndarray[Any, np.dtype[np.float32]]) -> str:
    file = io.BytesIO()
    Image.fromarray(np.rint(pixels * 255).astype(np.uint8)).save(file, "PNG")
    return base64.b64encode(file.getvalue()).decode()
