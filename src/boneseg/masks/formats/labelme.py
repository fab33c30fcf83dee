"""LabelMe: a JSON for each film (https://github.com/wkentaro/labelme).

Written: the bones as polygons that can be edited. A polygon with a hole goes in along a cut, around
the hole and out again, as the author of LabelMe recommends (issue 245). LabelMe does not read
DICOM: the JSON contains such a film as a picture, and refers to others by their path relative to
the JSON.

Read: polygons, masks and circles; boxes, lines and points do not follow the outline of a bone.
"""

from __future__ import annotations

import base64
import io
import json
import os
from collections.abc import Iterable, Mapping
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image

from boneseg._util.files import whole_file
from boneseg._util.json_values import as_integer, as_list, as_number, as_object, as_text
from boneseg.masks.polygons import ellipse, keyhole, outlines
from boneseg.masks.regions import coloured, placed, png, polygon, refuse_fractions
from boneseg.masks.segmentation import Segmentation
from boneseg.masks.simplification import Ring
from boneseg.masks.types import Drawing, Drawn, Patch, Region, Shape
from boneseg.preprocessing import Floats
from boneseg.radiograph.sniff import is_dicom

VERSION = "5.5.0"  # of the format; LabelMe warns of another major version


def write(path: Path, segmentation: Segmentation) -> None:
    """Write the polygons. Raises OutputError."""
    film = segmentation.film
    height, width = segmentation.mask.shape
    linked = film.frame == 1 and segmentation.name == film.source and not is_dicom(film.source)
    document = {
        "version": VERSION,
        "flags": {},
        "shapes": [
            _shape(layer.label, keyhole(piece))
            for layer in segmentation.layers
            for piece in outlines(layer.mask, segmentation.tolerance)
        ],
        "imagePath": _seen_from(path, film.source) if linked else segmentation.name.name,
        "imageData": None if linked else _picture(film.pixels),
        "imageHeight": height,
        "imageWidth": width,
    }
    with whole_file(path) as temporary:
        temporary.write_text(json.dumps(document), encoding="utf-8")


def _shape(label: str, ring: Ring) -> dict[str, object]:
    return {
        "label": label,
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


def _picture(pixels: Floats) -> str:
    file = io.BytesIO()
    Image.fromarray(np.rint(pixels * 255).astype(np.uint8)).save(file, "PNG")
    return base64.b64encode(file.getvalue()).decode()


def claims(document: object) -> bool:
    """Whether a JSON document is of this kind."""
    return isinstance(document, dict) and "shapes" in document


def drawings(document: object) -> list[Drawing]:
    """The one film of the file."""
    content = as_object(document)
    kept = {key: content.get(key) for key in ("shapes", "imageHeight", "imageWidth")}
    return [Drawing(partial(_read, kept))]  # without imageData, which may contain the film


def _read(document: Mapping[str, object], shape: Shape | None) -> Drawn:
    height, width = document.get("imageHeight"), document.get("imageWidth")
    size = (as_integer(height), as_integer(width)) if height and width else None
    regions = tuple(_region(as_object(one)) for one in as_list(document["shapes"]))
    refuse_fractions(regions)
    return Drawn(regions, size)


def _region(shape: Mapping[str, object]) -> Region:
    label, points = str(shape["label"] or ""), as_list(shape["points"])
    kind = shape.get("shape_type") or "polygon"
    if kind == "polygon":
        return polygon(label, points)
    if kind == "circle":
        (x, y), edge = map(_point, points)
        radius = float(np.hypot(edge[0] - x, edge[1] - y))
        return polygon(label, ellipse(x, y, radius, radius), kind="a circle")
    if kind == "mask":
        return Region(label, partial(_masked, as_text(shape["mask"]), points), "a mask")
    return Region(label, None, f"a {kind}")


def _point(value: object) -> tuple[float, float]:
    x, y = as_list(value)
    return as_number(x), as_number(y)


def _masked(packed: str, points: Iterable[object], shape: Shape) -> Patch:
    """A picture within the box of its first and last pixel, both as (x, y)."""
    (left, top), (right, bottom) = ((round(x), round(y)) for x, y in map(_point, points))
    picture = png(packed, (bottom - top + 1, right - left + 1))
    return placed(Patch(coloured(picture)), left, top, shape)
