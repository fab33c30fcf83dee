"""COCO: one JSON for all films, the bones as run lengths, which keep every pixel.

https://cocodataset.org/#format-data. Each connected piece of bone is an annotation, with its area
and box. `iscrowd` is 0 although there are run lengths, for training programs leave crowds out.
Those that want polygons: `coco_polygons.py`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from boneseg.files import read_json, whole_file
from boneseg.writers import BONE, Reading


def entry(reading: Reading) -> dict[str, Any]:
    """The image of one film and its annotations, without their numbers."""
    return film_entry(reading, [_annotation(piece) for piece in pieces(reading.finding.mask)])


def film_entry(reading: Reading, annotations: list[dict[str, Any]]) -> dict[str, Any]:
    height, width = reading.finding.mask.shape
    return {
        "image": {"file_name": reading.title, "width": width, "height": height},
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


def pieces(mask: NDArray[np.bool_]) -> Iterator[NDArray[np.bool_]]:
    """The connected pieces of a mask (diagonals connect), each on the whole grid."""
    from scipy.ndimage import label

    numbered, count = label(mask, np.ones((3, 3)))
    return (numbered == number for number in range(1, count + 1))


def _annotation(piece: NDArray[np.bool_]) -> dict[str, Any]:
    from pycocotools import mask as coco

    runs = coco.encode(np.asfortranarray(piece, np.uint8))
    box = [float(side) for side in coco.toBbox(runs)]
    counts = runs["counts"].decode("ascii")
    return {
        "segmentation": {"size": list(piece.shape), "counts": counts},
        "area": int(piece.sum()),
        "bbox": box,
    }
