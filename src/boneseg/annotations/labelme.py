"""LabelMe: a JSON for each film (https://github.com/wkentaro/labelme).

Polygons and masks count, circles too; boxes, lines and points do not follow a bone.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from boneseg.annotations import Drawing, Drawn, Region
from boneseg.annotations.regions import placed, png, polygon
from boneseg.polygons import ellipse


def claims(document: Any) -> bool:
    """Whether a JSON document is of this kind."""
    return isinstance(document, dict) and "shapes" in document


def drawings(path: Path, document: Any) -> list[Drawing]:
    """The one film that the file is about."""
    height, width = document.get("imageHeight"), document.get("imageWidth")
    size = (int(height), int(width)) if height and width else None
    drawn = Drawn(tuple(map(_region, document["shapes"])), size)
    return [Drawing(lambda: drawn)]


def _region(shape: dict[str, Any]) -> Region:
    label, points = str(shape["label"]), shape["points"]
    kind = shape.get("shape_type") or "polygon"
    if kind == "polygon":
        return polygon(label, points)
    if kind == "circle":
        (x, y), edge = points
        radius = float(np.hypot(edge[0] - x, edge[1] - y))
        return polygon(label, ellipse(x, y, radius, radius))
    if kind == "mask":
        drawn = np.asarray(png(shape["mask"]).convert("L")) > 0
        left, top = (round(float(place)) for place in points[0])
        return Region(label, placed(drawn, left, top), "a mask")
    return Region(label, None, f"a {kind}")
