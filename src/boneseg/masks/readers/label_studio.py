"""Label Studio: one JSON of tasks for many films (https://labelstud.io/guide/export).

Masks, polygons and ellipses count; boxes, points and regions of unknown kinds do not follow a bone.
A region has its label in itself (BrushLabels), or in a result of the same id (Brush and Labels). A
task that nobody has annotated yet, or with predictions alone, is no film with a mask. How brush
masks are packed is described in `masks/formats/label_studio.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import numpy as np
from numpy.typing import NDArray

from boneseg.errors import MaskError
from boneseg.masks.annotations import STRAY, Drawing, Drawn, Patch, Region, Shape, fits
from boneseg.masks.polygons import ellipse
from boneseg.masks.regions import placed, png, polygon, refuse_fractions
from boneseg.radiograph.read import SUFFIXES

_OTHERS = {"rectangle": "a box", "keypoint": "a point", "vector": "a line"}
_WORDS = frozenset(  # results that are said of a film or of a region, and draw nothing
    (
        *("labels", "choices", "taxonomy", "textarea", "rating", "number", "datetime"),
        *("pairwise", "ranker", "relation"),
    )
)


def claims(document: Any) -> bool:
    """Whether a JSON document is of this kind."""
    return isinstance(document, list) and any(map(_is_task, document))


def _is_task(task: Any) -> bool:
    return isinstance(task, dict) and "data" in task


def drawings(path: Path, document: Any) -> list[Drawing]:
    """A drawing for each task with an annotation. Raises MaskError where there is none."""
    found = []
    for number, task in enumerate(document, start=1):
        try:
            done = [one for one in task.get("annotations") or () if not _is_cancelled(one)]
            name = film_name(task)
        except (AttributeError, TypeError, ValueError, KeyError):
            error = f"task {number} names no film, or is damaged; export it again"
            found.append(Drawing(partial(_read, ()), error=error))
            continue
        if done:
            found.append(Drawing(partial(_read, done), name))
    if not found:
        raise MaskError("no task has an annotation; accept or draw them, then export it")
    return found


def _is_cancelled(annotation: Any) -> bool:
    return isinstance(annotation, dict) and bool(annotation.get("was_cancelled"))


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


def _read(annotations: Sequence[Any], shape: Shape | None) -> Drawn:
    if len(annotations) > 1:
        raise MaskError(f"holds {len(annotations)} annotations of this film; keep one of them")
    results = annotations[0]["result"]
    areas = [result for result in results if result["type"] not in _WORDS]
    sizes = {(int(area["original_height"]), int(area["original_width"])) for area in areas}
    if any(area.get("image_rotation") for area in areas):
        raise MaskError("is drawn on a turned film; turn it back in Label Studio, or the film")
    if len(sizes) > 1:
        raise MaskError("has regions drawn on films of several sizes; draw them again on this one")
    size = fits(sizes.pop(), shape) if sizes else None
    said = {one.get("id"): one["value"]["labels"] for one in results if one["type"] == "labels"}
    if said.keys() - {area.get("id") for area in areas}:
        raise MaskError("has a label whose region is missing; export it again")
    regions = [_region(area, label) for area in areas for label in _labels(area, said)]
    if size is not None:
        refuse_fractions(regions, (size[1] / 100, size[0] / 100))
    return Drawn(tuple(regions), size)


def _labels(area: dict[str, Any], said: dict[Any, list[str]]) -> list[str]:
    own = area["value"].get(area["type"]) or said.get(area.get("id"))
    if own is not None and not isinstance(own, list):
        raise ValueError("labels that are no list")
    return [str(label) for label in own or ("unlabelled",)]


def _region(area: dict[str, Any], label: str) -> Region:
    kind, value = area["type"].removesuffix("labels"), area["value"]
    sides = int(area["original_width"]), int(area["original_height"])
    scale = np.array(sides) / 100  # places are in percent of the film
    if kind == "polygon":
        return polygon(label, _percent(value["points"]) * scale)
    if kind == "ellipse":
        x, y = _percent([value["x"], value["y"]]) * scale
        rx, ry = _percent([value["radiusX"], value["radiusY"]]) * scale
        turn = float(value.get("rotation", 0))
        return polygon(label, ellipse(x, y, rx, ry, turn), kind="an ellipse")
    if kind == "brush":
        return Region(label, partial(_brushed, value["rle"]), "a brush mask")
    if kind == "bitmask":
        return Region(label, partial(_opaque, value["imageDataURL"]), "a bitmask")
    return Region(label, None, _OTHERS.get(kind, f"a {kind}"))


def _percent(places: Any) -> NDArray[np.float64]:
    """Places in percent of the film. Raises MaskError for what lies far outside."""
    numbers = np.asarray(places, np.float64)
    if not (numbers > -100 * STRAY).all() or not (numbers < 100 + 100 * STRAY).all():
        raise MaskError("has coordinates outside 0 to 100; give them in percent of the film")
    return numbers


def _brushed(packed: Any, shape: Shape) -> Patch:
    alpha = unpacked(packed, 4 * shape[0] * shape[1]).reshape(*shape, 4)[..., 3] > 0
    return placed(Patch(alpha), 0, 0, shape)


def _opaque(address: str, shape: Shape) -> Patch:
    """What is drawn in a PNG within an address: black on transparent, as large as the film."""
    alpha = np.asarray(png(address.partition(",")[2], shape).getchannel("A"))
    return placed(Patch(np.asarray(alpha > 0)), 0, 0, shape)


def unpacked(packed: Any, size: int) -> NDArray[np.uint8]:
    """The bytes that rle-pack has packed, `size` of them. Raises ValueError where it has not."""
    if not isinstance(packed, list):
        raise ValueError("no list of bytes")
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
    if word != 8 or count != size:
        raise ValueError("words that are no bytes, or of another size than the film")
    pieces, done = [], 0
    while done < count:
        repeated = take(1)
        length = take(sizes[take(2)]) + 1
        words = [take(8) for _ in range(1 if repeated else length)]
        pieces.append(bytes(words * (length if repeated else 1)))
        done += length
    return np.frombuffer(b"".join(pieces)[:count], np.uint8)
