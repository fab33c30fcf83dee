"""LabelMe: a JSON for each film (https://github.com/wkentaro/labelme).

Polygons and masks count, circles too; boxes, lines and points do not follow a bone.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from boneseg.masks.annotations import Drawing, Drawn, Patch, Region, Shape
from boneseg.masks.polygons import ellipse
from boneseg.masks.regions import coloured, placed, png, polygon, refuse_fractions


def claims(document: Any) -> bool:
    """Whether a JSON document is of this kind."""
    return isinstance(document, dict) and "shapes" in document


def drawings(path: Path, document: Any) -> list[Drawing]:
    """The one film that the file is about."""
    kept = {key: document.get(key) for key in ("shapes", "imageHeight", "imageWidth")}
    return [Drawing(partial(_read, kept))]  # without the film, which may be in there


def _read(document: Any, shape: Shape | None) -> Drawn:
    height, width = document.get("imageHeight"), document.get("imageWidth")
    size = (int(height), int(width)) if height and width else None
    regions = tuple(map(_region, document["shapes"]))
    refuse_fractions(regions)
    return Drawn(regions, size)


def _region(shape: dict[str, Any]) -> Region:
    label, points = str(shape["label"] or ""), shape["points"]
    kind = shape.get("shape_type") or "polygon"
    if kind == "polygon":
        return polygon(label, points)
    if kind == "circle":
        (x, y), edge = points
        radius = float(np.hypot(edge[0] - x, edge[1] - y))
        return polygon(label, ellipse(x, y, radius, radius), kind="a circle")
    if kind == "mask":
        return Region(label, partial(_masked, shape["mask"], points), "a mask")
    return Region(label, None, f"a {kind}")


def _masked(packed: Any, points: Any, shape: Shape) -> Patch:
    """A picture within the box of its first and last pixel, both as (x, y)."""
    (left, top), (right, bottom) = ((round(float(x)), round(float(y))) for x, y in points)
    picture = png(packed, (bottom - top + 1, right - left + 1))
    return placed(Patch(coloured(picture)), left, top, shape)
