"""COCO: one JSON for all films (https://cocodataset.org/#format-data).

Written: each connected piece of bone is an annotation with its area and box, as run lengths, which
keep every pixel, or as a polygon, for programs that edit outlines or take nothing else. `iscrowd`
is 0 despite the run lengths, because training programs skip crowds. A hole is joined to its polygon
by a cut, as in `labelme.py`: COCO joins the polygons of an annotation, so a second one could not be
a hole.

Read: a segmentation is a list of polygons, which are joined, or run lengths column by column, as
numbers or packed into text. A box alone does not follow the outline of a bone.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TypedDict

from boneseg._util.files import read_bytes, read_json, whole_file
from boneseg._util.json_values import as_integer, as_list, as_object, as_text
from boneseg.errors import MaskError
from boneseg.masks.formats.pieces import Places, pieces, run_lengths
from boneseg.masks.polygons import Outline, area, keyhole, outlines
from boneseg.masks.regions import by_runs, placed, polygon, refuse_fractions
from boneseg.masks.segmentation import BONE, Segmentation
from boneseg.masks.types import LARGEST, Drawing, Drawn, OtherSizeError, Patch, Region, Shape, fits

_LONGEST = 7  # letters of a packed number, 5 bits each: no film has more pixels


class Entry(TypedDict):
    """The entry of one film: an image and its annotations, with labels instead of ids."""

    image: dict[str, object]
    annotations: list[dict[str, object]]


def entry(segmentation: Segmentation) -> Entry:
    """The image of one film and its annotations as run lengths, without ids."""
    shape = segmentation.mask.shape[0], segmentation.mask.shape[1]
    found = [
        _packed_piece(piece, shape) | {"label": layer.label}
        for layer in segmentation.layers
        for piece in pieces(layer.mask, by_columns=True)
    ]
    return _film_entry(segmentation, found)


def polygon_entry(segmentation: Segmentation) -> Entry:
    """The image of one film and its annotations as polygons, without ids."""
    found = [
        _polygon_piece(piece) | {"label": layer.label}
        for layer in segmentation.layers
        for piece in outlines(layer.mask, segmentation.tolerance)
    ]
    return _film_entry(segmentation, found)


def _film_entry(segmentation: Segmentation, annotations: list[dict[str, object]]) -> Entry:
    height, width = segmentation.mask.shape
    return {
        "image": {"file_name": segmentation.title, "width": width, "height": height},
        "annotations": annotations,
    }


def write_document(path: Path, entries: Sequence[Entry]) -> None:
    """Write films and annotations, numbered from 1. Raises OutputError."""
    images: list[dict[str, object]] = []
    annotations: list[dict[str, object]] = []
    numbers = _categories({str(one["label"]) for film in entries for one in film["annotations"]})
    for number, film in enumerate(entries, start=1):
        images.append({"id": number, **film["image"]})
        for annotation in film["annotations"]:
            facts = {name: value for name, value in annotation.items() if name != "label"}
            category = numbers[str(annotation["label"])]
            counted = {"id": len(annotations) + 1, "image_id": number, "category_id": category}
            annotations.append(counted | facts | {"iscrowd": 0})
    document = {
        "info": {"description": "Bones in radiographs, found by boneseg"},
        "images": images,
        "annotations": annotations,
        "categories": [
            {"id": number, "name": name, "supercategory": "" if name == BONE else BONE}
            for name, number in numbers.items()
        ],
    }
    with whole_file(path) as temporary:
        temporary.write_text(json.dumps(document), encoding="utf-8")


def _categories(labels: set[str]) -> dict[str, int]:
    """The number of each category: 1 for bone without a name, then those of `CONCEPTS`, others.

    A bone has the same number in every document.
    """
    numbers = {BONE: 1}
    if not labels <= {BONE}:
        from boneseg.masks.terminology import CONCEPTS  # few calls need it

        numbers |= {name: number for number, name in enumerate(CONCEPTS, start=2)}
    for label in sorted(labels - numbers.keys()):
        numbers[label] = len(numbers) + 1
    return numbers


def read_document(path: Path) -> dict[str, Entry]:
    """The entries of a document by film title. Raises ValueError or KeyError."""
    document = as_object(read_json(read_bytes(path, LARGEST)))
    kinds = map(as_object, as_list(document["categories"]))
    labels = {as_integer(kind["id"]): as_text(kind["name"]) for kind in kinds}
    films: dict[int, Entry] = {}
    for image in map(as_object, as_list(document["images"])):
        facts = {name: image[name] for name in ("file_name", "width", "height")}
        films[as_integer(image["id"])] = {"image": facts, "annotations": []}
    for annotation in map(as_object, as_list(document["annotations"])):
        facts = {name: annotation[name] for name in ("segmentation", "area", "bbox")}
        facts["label"] = labels[as_integer(annotation["category_id"])]
        films[as_integer(annotation["image_id"])]["annotations"].append(facts)
    return {as_text(film["image"]["file_name"]): film for film in films.values()}


def _packed_piece(piece: Places, shape: tuple[int, int]) -> dict[str, object]:
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


def _polygon_piece(piece: Outline) -> dict[str, object]:
    (left, top), (right, bottom) = piece.outer.min(axis=0), piece.outer.max(axis=0)
    return {
        "segmentation": [keyhole(piece).round(3).ravel().tolist()],
        "area": round(area(piece.outer) - sum(map(area, piece.holes)), 2),
        "bbox": [float(left), float(top), float(right - left), float(bottom - top)],
    }


def claims(document: object) -> bool:
    """Whether a JSON document is of this kind."""
    return isinstance(document, dict) and {"images", "annotations"} <= document.keys()


def drawings(document: object) -> list[Drawing]:
    """A drawing for each listed film, and one with an error for annotations that belong to none."""
    content = as_object(document)
    labels = {
        _key(kind.get("id")): str(kind["name"])
        for kind in as_list(content.get("categories") or [])
        if isinstance(kind, dict) and kind.get("name") is not None
    }
    own: dict[str | None, list[object]] = defaultdict(list)
    found = []
    for annotation in as_list(content["annotations"]):
        number = annotation.get("image_id") if isinstance(annotation, dict) else None
        own[_key(number)].append(annotation)
    images = as_list(content["images"])
    keys = Counter(_key(film.get("id")) for film in images if isinstance(film, dict))
    for image in images:
        film = image if isinstance(image, dict) else {}
        key, name = _key(film.get("id")), film.get("file_name")
        read = partial(_read, film, own[key], labels)
        if key is None or not isinstance(name, str):
            found.append(Drawing(read, error="lists an image without id or file_name; add them"))
        else:
            found.append(Drawing(read if keys[key] == 1 else _refuse_shared, name))
    for key, several in own.items():
        if several and key not in keys:
            number = "without id" if key is None else key
            error = f"annotates image {number}, which is not listed; correct its image_id"
            found.append(Drawing(partial(_read, {}, (), labels), error=error))
    return found


def _key(number: object) -> str | None:
    """An id as a dictionary key; None where it is not an id.

    1, 1.0 and "1" are equal: conversion between tools changes the type of a column.
    """
    if isinstance(number, float) and number.is_integer():
        number = int(number)
    return str(number).strip() if isinstance(number, int | float | str) else None


def _refuse_shared(shape: Shape | None) -> Drawn:
    raise MaskError("shares its id with another image of the file; export it again")


def _read(
    film: Mapping[str, object],
    annotations: Iterable[object],
    labels: Mapping[str | None, str],
    shape: Shape | None,
) -> Drawn:
    height, width = film.get("height"), film.get("width")
    stated = height is not None and width is not None
    size = fits((as_integer(height), as_integer(width)), shape) if stated else None
    regions = tuple(_region(as_object(one), labels) for one in annotations)
    refuse_fractions(regions)
    return Drawn(regions, size)


def _region(annotation: Mapping[str, object], labels: Mapping[str | None, str]) -> Region:
    number = _key(annotation["category_id"])
    if number is None:
        raise ValueError("an invalid category_id")
    label = labels.get(number, number)
    segmentation = annotation.get("segmentation")
    if not segmentation:
        return Region(label, None, "a box")
    if isinstance(segmentation, list):
        return polygon(label, *segmentation, kind="a polygon")
    return Region(label, partial(_painted, as_object(segmentation)), "a mask")


def _painted(segmentation: Mapping[str, object], shape: Shape) -> Patch:
    height, width = map(as_integer, as_list(segmentation["size"]))
    if (height, width) != shape:
        raise OtherSizeError((height, width))
    counts = segmentation["counts"]
    numbers = unpacked(counts) if isinstance(counts, str) else as_list(counts)
    return placed(by_runs(numbers, shape, by_columns=True), 0, 0, shape)


def unpacked(text: str | bytes) -> list[int]:
    """Run lengths packed as COCO's maskApi.c does: 5 bits a letter, from "0", the lowest first.

    Bit 5 marks continuation, bit 4 of the last letter is the sign; from the fourth number on, each
    is stored as its difference to the last but one.
    """
    data = text.encode("ascii") if isinstance(text, str) else text
    counts: list[int] = []
    number = shift = 0
    for letter in data:
        bits = letter - 48
        if not 0 <= bits < 64 or shift >= 5 * _LONGEST:
            raise ValueError("invalid COCO run lengths")
        number |= (bits & 31) << shift
        shift += 5
        if bits & 32:
            continue
        if bits & 16:
            number -= 1 << shift
        counts.append(number + (counts[-2] if len(counts) > 2 else 0))
        number = shift = 0
    if shift:
        raise ValueError("truncated run lengths")
    return counts
