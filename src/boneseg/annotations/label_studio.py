"""Label Studio: one JSON of tasks for many films (https://labelstud.io/guide/export).

Masks, polygons and ellipses count; boxes, points and regions of unknown kinds do not follow a bone.
A region has its label in itself (BrushLabels), or in a result of the same id (Brush and Labels). A
task that nobody has annotated yet, or with predictions alone, is no film with a mask. How brush
masks are packed is told in `writers/label_studio.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import numpy as np
from numpy.typing import NDArray

from boneseg.annotations import Drawing, Drawn, Mask, Region, Shape
from boneseg.annotations.regions import png, polygon
from boneseg.errors import MaskError
from boneseg.polygons import ellipse
from boneseg.radiograph import SUFFIXES

MAX_BYTES = 4 * 100_000_000  # four channels of the largest film
_OTHERS = {"rectangle": "a box", "keypoint": "a point", "vector": "a line"}
_WORDS = frozenset(  # results that are said of a film or of a region, and draw nothing
    (
        *("labels", "choices", "taxonomy", "textarea", "rating", "number", "datetime"),
        *("pairwise", "ranker", "relation"),
    )
)


def claims(document: Any) -> bool:
    """Whether a JSON document is of this kind."""
    return (
        isinstance(document, list)
        and bool(document)
        and all(isinstance(task, dict) and "data" in task for task in document)
    )


def drawings(path: Path, document: Any) -> list[Drawing]:
    """A drawing for each task with an annotation. Raises MaskError where one has several."""
    found = []
    for task in document:
        name = film_name(task)
        done = [one for one in task.get("annotations") or () if not one.get("was_cancelled")]
        if len(done) > 1:
            raise MaskError(f"{path}: holds {len(done)} annotations of {name}; keep one of them")
        if done:
            found.append(_drawing(name, done[0]["result"]))
    if not found:
        raise MaskError(f"{path}: no task has an annotation; accept or draw them, then export it")
    return found


def film_name(task: dict[str, Any]) -> str:
    """What a task calls its film: `image`, as it is mostly called, or the first name of a picture.

    Other columns of a table that was imported may stand before it. Raises ValueError without any.
    """
    texts = {key: value for key, value in task["data"].items() if isinstance(value, str)}
    names = {key: _file_of(text) for key, text in texts.items()}
    pictures = [name for name in names.values() if PurePosixPath(name).suffix.lower() in SUFFIXES]
    for name in (names.get("image"), *pictures, *names.values()):
        if name:
            return name
    raise ValueError("a task without a film")


def _file_of(address: str) -> str:
    """The file at the end of an address."""
    parts = urlsplit(address)
    local = parse_qs(parts.query, errors="surrogateescape").get("d")  # of the server's own disk
    return PurePosixPath(local[0] if local else unquote(parts.path)).name


def _drawing(name: str, results: Sequence[dict[str, Any]]) -> Drawing:
    areas = [result for result in results if result["type"] not in _WORDS]
    sizes = {(int(area["original_height"]), int(area["original_width"])) for area in areas}
    if len(sizes) > 1 or any(area.get("image_rotation") for area in areas):
        raise ValueError("regions of several sizes, or of a turned film")
    size = sizes.pop() if sizes else None
    said = {one.get("id"): one["value"]["labels"] for one in results if one["type"] == "labels"}
    regions = [_region(area, label) for area in areas for label in _labels(area, said)]
    drawn = Drawn(tuple(regions), size)
    return Drawing(lambda: drawn, name=name)


def _labels(area: dict[str, Any], said: dict[Any, list[str]]) -> list[str]:
    own = area["value"].get(area["type"]) or said.get(area.get("id"))
    return [str(label) for label in own or ("unlabelled",)]


def _region(area: dict[str, Any], label: str) -> Region:
    kind, value = area["type"].removesuffix("labels"), area["value"]
    sides = int(area["original_width"]), int(area["original_height"])
    scale = np.array(sides) / 100  # places are in percent of the film
    if kind == "polygon":
        return polygon(label, np.asarray(value["points"], np.float64) * scale)
    if kind == "ellipse":
        x, y = np.array([value["x"], value["y"]]) * scale
        rx, ry = np.array([value["radiusX"], value["radiusY"]]) * scale
        return polygon(label, ellipse(x, y, rx, ry, float(value.get("rotation", 0))))
    if kind == "brush":
        return Region(label, partial(_brushed, value["rle"]), "a brush mask")
    if kind == "bitmask":
        return Region(label, partial(_opaque, value["imageDataURL"]), "a bitmask")
    return Region(label, None, _OTHERS.get(kind, f"a {kind}"))


def _brushed(packed: Sequence[int], shape: Shape) -> Mask:
    alpha: Mask = unpacked(packed).reshape(*shape, 4)[..., 3] > 0
    return alpha


def _opaque(address: str, shape: Shape) -> Mask:
    """What is drawn in a PNG within an address: black on transparent, as large as the film."""
    alpha = np.asarray(png(address.partition(",")[2]).getchannel("A"))
    if alpha.shape != shape:
        raise ValueError("a picture of another size")
    return np.asarray(alpha > 0)


def unpacked(packed: Sequence[int]) -> NDArray[np.uint8]:
    """The bytes that rle-pack has packed. Raises ValueError where it has not."""
    data = bytes(packed)
    bits, place = f"{int.from_bytes(data, 'big'):0{8 * len(data)}b}", 0

    def take(size: int) -> int:
        nonlocal place
        place += size
        if place > len(bits):
            raise ValueError("packed bytes that are cut short")
        return int(bits[place - size : place], 2)

    count, word = take(32), take(5) + 1
    sizes = [take(4) + 1 for _ in range(4)]
    if word != 8 or count > MAX_BYTES:
        raise ValueError("words that are no bytes, or too many")
    pieces, done = [], 0
    while done < count:
        repeated = take(1)
        length = take(sizes[take(2)]) + 1
        words = [take(8) for _ in range(1 if repeated else length)]
        pieces.append(bytes(words * (length if repeated else 1)))
        done += length
    return np.frombuffer(b"".join(pieces)[:count], np.uint8)
