"""Label Studio: one JSON of tasks for all films (https://labelstud.io/guide/export).

Written: the bones as brush masks, which keep all pixels
(https://labelstud.io/guide/predictions). Masks from a model are predictions, which a person
accepts; masks drawn by a person are annotations. The labelling interface of the project must have
these two tags, with a Label for each name where bones are named:

    <Image name="image" value="$image"/>
    <BrushLabels name="bones" toName="image"><Label value="bone"/></BrushLabels>

Read: masks, polygons and ellipses; boxes, points and regions of unknown kinds do not follow the
outline of a bone. A region has its own label (BrushLabels), or that of a result with the same id
(Brush and Labels). A task without annotations, or with predictions only, is not a film with a mask;
one with regions on several images is refused.

Brush masks are RGBA pictures packed by rle-pack (https://github.com/thi-ng/umbrella), bit by bit:
32 for the number of bytes, 5 for the size of a word less 1, four times 4 for sizes of lengths less
1; then runs: 1 for repetition, 2 for which size, the length less 1 in that size, and the word.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path, PurePosixPath
from urllib.parse import parse_qs, quote, unquote, urlsplit

import numpy as np
from numpy.typing import NDArray

from boneseg._util.files import read_bytes, read_json, whole_file
from boneseg._util.json_values import as_integer, as_list, as_number, as_object, as_text
from boneseg.errors import MaskError
from boneseg.masks.polygons import ellipse
from boneseg.masks.regions import placed, png, polygon, refuse_fractions
from boneseg.masks.segmentation import Segmentation
from boneseg.masks.types import LARGEST, STRAY, Drawing, Drawn, Patch, Region, Shape, fits
from boneseg.radiograph.sniff import SUFFIXES

LOCAL_FILES = "/data/local-files/?d="  # where Label Studio serves local files
_WORD_BITS, _SIZES = 8, (3, 4, 8, 16)  # as Label Studio itself writes
_OTHERS = {"rectangle": "a box", "keypoint": "a point", "vector": "a line"}
_WORDS = frozenset(  # results about a film or a region, without a shape
    (
        *("labels", "choices", "taxonomy", "textarea", "rating", "number", "datetime"),
        *("pairwise", "ranker", "relation"),
    )
)


Task = dict[str, object]


def entry(segmentation: Segmentation) -> Task:
    """The task of one film."""
    height, width = segmentation.mask.shape
    result = [
        {
            "id": layer.label.replace(" ", "-"),
            "type": "brushlabels",
            "from_name": "bones",
            "to_name": "image",
            "original_width": width,
            "original_height": height,
            "image_rotation": 0,
            "value": {"format": "rle", "rle": packed(layer.mask), "brushlabels": [layer.label]},
        }
        for layer in segmentation.layers
        if layer.mask.any()
    ]
    if segmentation.model is None:
        found: Task = {"annotations": [{"result": result}]}
    else:
        model = f"boneseg {segmentation.model.sha256[:12]}"
        found = {"predictions": [{"model_version": model, "result": result}]}
    address = LOCAL_FILES + quote(segmentation.title, errors="surrogateescape")
    return {"data": {"image": address}, **found}


def write_document(path: Path, entries: Sequence[Task]) -> None:
    """Write the tasks. Raises OutputError."""
    with whole_file(path) as temporary:
        temporary.write_text(json.dumps(list(entries)), encoding="utf-8")


def read_document(path: Path) -> dict[str, Task]:
    """The task of each film of a document, by title. Raises ValueError or KeyError."""
    tasks = map(as_object, as_list(read_json(read_bytes(path, LARGEST))))
    return {_title(as_text(as_object(task["data"])["image"])): task for task in tasks}


def _title(address: str) -> str:
    return unquote(address.removeprefix(LOCAL_FILES), errors="surrogateescape")


def packed(mask: NDArray[np.bool_]) -> list[int]:
    """The bytes of a brush mask: every channel is 255 in bone."""
    values = mask.ravel()
    edges = np.concatenate([[0], np.flatnonzero(np.diff(values)) + 1, [values.size]])
    longest = 1 << _SIZES[3]
    bits = [f"{4 * values.size:032b}{_WORD_BITS - 1:05b}", *(f"{size - 1:04b}" for size in _SIZES)]
    for start, stop in zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True):
        word = "1" * _WORD_BITS if values[start] else "0" * _WORD_BITS
        left = 4 * (stop - start)
        while left:
            length = min(left, longest)
            which = next(i for i, size in enumerate(_SIZES) if length <= 1 << size)
            bits.append(f"1{which:02b}{length - 1:0{_SIZES[which]}b}{word}")
            left -= length
    text = "".join(bits)
    text += "0" * (-len(text) % 8)
    return list(int(text, 2).to_bytes(len(text) // 8, "big"))


def claims(document: object) -> bool:
    """Whether a JSON document is of this kind."""
    return isinstance(document, list) and any(map(_is_task, document))


def _is_task(task: object) -> bool:
    return isinstance(task, dict) and "data" in task


def drawings(document: object) -> list[Drawing]:
    """A drawing for each task with an annotation. Raises MaskError if there is none."""
    found = []
    for number, value in enumerate(as_list(document), start=1):
        try:
            task = as_object(value)
            annotations = as_list(task.get("annotations") or [])
            done = [one for one in annotations if not _is_cancelled(one)]
            name = film_name(task)
        except (ValueError, KeyError):
            error = f"task {number} names no film, or is damaged; export it again"
            found.append(Drawing(partial(_read, ()), error=error))
            continue
        if done:
            found.append(Drawing(partial(_read, done), name))
    if not found:
        raise MaskError("no task has an annotation; accept or draw masks, then export again")
    return found


def _is_cancelled(annotation: object) -> bool:
    return isinstance(annotation, dict) and bool(annotation.get("was_cancelled"))


def film_name(task: Task) -> str:
    """The film name in a task: the value of `image`, or the first file name of an image.

    Other columns of an imported table may precede it. Raises ValueError without any.
    """
    data = as_object(task["data"])
    texts = {key: value for key, value in data.items() if isinstance(value, str)}
    names = {key: _file_of(text) for key, text in texts.items()}
    pictures = [name for name in names.values() if PurePosixPath(name).suffix.lower() in SUFFIXES]
    for name in (names.get("image"), *pictures, *names.values()):
        if name:
            return name
    raise ValueError("a task without a film")


def _file_of(address: str) -> str:
    """The file name at the end of an address."""
    parts = urlsplit(address)
    local = parse_qs(parts.query, errors="surrogateescape").get("d")  # of local files
    return PurePosixPath(local[0] if local else unquote(parts.path)).name


def _read(annotations: Sequence[object], shape: Shape | None) -> Drawn:
    if len(annotations) > 1:
        raise MaskError(f"holds {len(annotations)} annotations of this film; keep one of them")
    results = list(map(as_object, as_list(as_object(annotations[0])["result"])))
    areas = [result for result in results if as_text(result["type"]) not in _WORDS]
    sizes = set(map(_size, areas))
    _refuse_several(areas)
    if any(area.get("image_rotation") for area in areas):
        raise MaskError("is drawn on a rotated film; undo the rotation and export it again")
    if len(sizes) > 1:
        raise MaskError("has regions drawn on films of several sizes; draw them again on this one")
    size = fits(sizes.pop(), shape) if sizes else None
    said = {
        one.get("id"): as_object(one["value"])["labels"]
        for one in results
        if one["type"] == "labels"
    }
    if said.keys() - {area.get("id") for area in areas}:
        raise MaskError("has a label whose region is missing; export it again")
    regions = [_region(area, label) for area in areas for label in _labels(area, said)]
    if size is not None:
        refuse_fractions(regions, (size[1] / 100, size[0] / 100))
    return Drawn(tuple(regions), size)


def _refuse_several(areas: Sequence[Task]) -> None:
    """Refuse a task of several images: all its regions would be drawn on the film of the first."""
    tags = {area.get("to_name") for area in areas} - {None}
    pages = {area.get("item_index") or 0 for area in areas}  # of the image in a list of images
    if len(tags) > 1 or pages - {0}:
        raise MaskError("has regions on several images of one task; export one image per task")


def _size(area: Task) -> Shape:
    """(height, width) of the film that a region was drawn on."""
    return as_integer(area["original_height"]), as_integer(area["original_width"])


def _labels(area: Task, said: Mapping[object, object]) -> list[str]:
    own = as_object(area["value"]).get(as_text(area["type"])) or said.get(area.get("id"))
    return [str(label) for label in as_list(own or ["unlabelled"])]


def _region(area: Task, label: str) -> Region:
    kind, value = as_text(area["type"]).removesuffix("labels"), as_object(area["value"])
    scale = np.array(_size(area)[::-1]) / 100  # coordinates are in percent of the film
    if kind == "polygon":
        return polygon(label, _percent(value["points"]) * scale)
    if kind == "ellipse":
        x, y = _percent([value["x"], value["y"]]) * scale
        rx, ry = _percent([value["radiusX"], value["radiusY"]]) * scale
        turn = as_number(value.get("rotation", 0))
        return polygon(label, ellipse(x, y, rx, ry, turn), kind="an ellipse")
    if kind == "brush":
        return Region(label, partial(_brushed, value["rle"]), "a brush mask")
    if kind == "bitmask":
        return Region(label, partial(_opaque, as_text(value["imageDataURL"])), "a bitmask")
    return Region(label, None, _OTHERS.get(kind, f"a {kind}"))


def _percent(places: object) -> NDArray[np.float64]:
    """Coordinates in percent of the film. Raises MaskError for values far outside."""
    numbers = np.asarray(places, np.float64)
    if not (numbers > -100 * STRAY).all() or not (numbers < 100 + 100 * STRAY).all():
        raise MaskError("has coordinates outside 0 to 100; give them in percent of the film")
    return numbers


def _brushed(packed: object, shape: Shape) -> Patch:
    alpha = unpacked(packed, 4 * shape[0] * shape[1]).reshape(*shape, 4)[..., 3] > 0
    return placed(Patch(alpha), 0, 0, shape)


def _opaque(address: str, shape: Shape) -> Patch:
    """The mask in a PNG data URL: black on transparent, of the size of the film."""
    alpha = np.asarray(png(address.partition(",")[2], shape).getchannel("A"))
    return placed(Patch(np.asarray(alpha > 0)), 0, 0, shape)


def unpacked(packed: object, size: int) -> NDArray[np.uint8]:
    """The `size` bytes packed by rle-pack. Raises ValueError if they are damaged."""
    if not isinstance(packed, list):
        raise ValueError("not a list of bytes")
    data = bytes(packed)
    bits, place = f"{int.from_bytes(data, 'big'):0{8 * len(data)}b}", 0

    def take(size: int) -> int:
        nonlocal place
        place += size
        if place > len(bits):
            raise ValueError("truncated run lengths")
        return int(bits[place - size : place], 2)

    count, word = take(32), take(5) + 1
    sizes = [take(4) + 1 for _ in range(4)]
    if word != 8 or count != size:
        raise ValueError("words that are not bytes, or not as many as the film has")
    pieces, done = [], 0
    while done < count:
        repeated = take(1)
        length = take(sizes[take(2)]) + 1
        words = [take(8) for _ in range(1 if repeated else length)]
        pieces.append(bytes(words * (length if repeated else 1)))
        done += length
    return np.frombuffer(b"".join(pieces)[:count], np.uint8)
