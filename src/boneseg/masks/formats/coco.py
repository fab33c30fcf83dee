"""COCO: one JSON for all films, the bones as run lengths, which keep every pixel.

https://cocodataset.org/#format-data. Each connected piece of bone is an annotation, with its area
and box. `iscrowd` is 0 although there are run lengths, for training programs leave crowds out.
Those that want polygons: `coco_polygons.py`.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from boneseg._util.files import read_json, whole_file
from boneseg.masks.formats import BONE
from boneseg.masks.formats.pieces import Places, pieces, run_lengths
from boneseg.masks.segmentation import Segmentation


def entry(segmentation: Segmentation) -> dict[str, Any]:
    """The image of one film and its annotations, without their numbers."""
    mask = segmentation.mask
    shape = mask.shape[0], mask.shape[1]
    found = [_annotation(piece, shape) for piece in pieces(mask, by_columns=True)]
    return film_entry(segmentation, found)


def film_entry(segmentation: Segmentation, annotations: list[dict[str, Any]]) -> dict[str, Any]:
    height, width = segmentation.mask.shape
    return {
        "image": {"file_name": segmentation.title, "width": width, "height": height},
        "annotations": annotations,
    }


def write_document(path: Path, entries: Sequence[dict[str, Any]]) -> None:
    """Write films and annotations, numbered from 1. Raises OutputError."""
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for number, film in enumerate(entries, start=1):
        images.append({"id": number, **film["image"]})
        for annotation in film["annotations"]:
            counted = {"id": len(annotations) + 1, "image_id": number, "category_id": 1}
            annotations.append(counted | annotation | {"iscrowd": 0})
    document = {
        "info": {"description": "Bones in radiographs, found by boneseg"},
        "images": images,
        "annotations": annotations,
        "categories": [{"id": 1, "name": BONE, "supercategory": ""}],
    }
    with whole_file(path) as temporary:
        temporary.write_text(json.dumps(document), encoding="utf-8")


def read_document(path: Path) -> dict[str, dict[str, Any]]:
    """What `entry` gave for each film of a document, by title. Raises ValueError or KeyError."""
    document = read_json(path.read_bytes())
    films: dict[int, dict[str, Any]] = {}
    for image in document["images"]:
        facts = {name: image[name] for name in ("file_name", "width", "height")}
        films[image["id"]] = {"image": facts, "annotations": []}
    for annotation in document["annotations"]:
        facts = {name: annotation[name] for name in ("segmentation", "area", "bbox")}
        films[annotation["image_id"]]["annotations"].append(facts)
    return {film["image"]["file_name"]: film for film in films.values()}


def _annotation(piece: Places, shape: tuple[int, int]) -> dict[str, Any]:
    from pycocotools import mask as coco

    height, width = shape
    runs = run_lengths(piece[:, 1] * height + piece[:, 0], height * width)
    packed = coco.frPyObjects({"size": [height, width], "counts": runs}, height, width)
    (top, left), (bottom, right) = piece.min(axis=0).tolist(), (piece.max(axis=0) + 1).tolist()
    return {
        "segmentation": {"size": [height, width], "counts": packed["counts"].decode("ascii")},
        "area": len(piece),
        "bbox": [float(side) for side in (left, top, right - left, bottom - top)],
    }
