"""COCO with polygons, for programs that edit outlines or take nothing else: see `coco.py`.

A hole hangs on a cut, as in `labelme.py`: COCO joins the polygons of an annotation, and so a second
one could not be a hole.
"""

from __future__ import annotations

from typing import Any

from boneseg.masks.formats.coco import film_entry, read_document, write_document
from boneseg.masks.polygons import Outline, area, keyhole, outlines
from boneseg.masks.segmentation import Segmentation

__all__ = ["entry", "read_document", "write_document"]


def entry(segmentation: Segmentation) -> dict[str, Any]:
    """The image of one film and its annotations, without their numbers."""
    found = outlines(segmentation.mask, segmentation.tolerance)
    return film_entry(segmentation, [_annotation(piece) for piece in found])


def _annotation(piece: Outline) -> dict[str, Any]:
    (left, top), (right, bottom) = piece.outer.min(axis=0), piece.outer.max(axis=0)
    return {
        "segmentation": [keyhole(piece).round(3).ravel().tolist()],
        "area": round(area(piece.outer) - sum(map(area, piece.holes)), 2),
        "bbox": [float(left), float(top), float(right - left), float(bottom - top)],
    }
