"""One region of bone in every form that a tool for annotation gives it."""

from __future__ import annotations

import base64
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pycocotools import mask as coco

from boneseg.dataset.open import open_dataset
from boneseg.masks.formats.label_studio import packed
from tests.support.readings import picture

Mask = NDArray[np.bool_]


HEIGHT, WIDTH = SHAPE = (60, 80)


SQUARE = [[10, 10], [30, 10], [30, 40], [10, 40]]


def rectangle(left: int = 10, top: int = 10, right: int = 30, bottom: int = 40) -> Mask:
    mask = np.zeros(SHAPE, bool)
    mask[top:bottom, left:right] = True
    return mask


def mask_of(root: Path, name: str, content: str | bytes | Any, **more: Any) -> Mask:
    """The mask of the one film of a dataset, from a file of this name and content."""
    picture(root / "images" / "knee.png")
    path = root / "masks" / name
    path.parent.mkdir(parents=True)
    if not isinstance(content, str | bytes):
        content = json.dumps(content)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    (case,) = open_dataset(root, **more).cases
    return case.read_mask(SHAPE)


def in_png(mask: Mask) -> str:
    file = io.BytesIO()
    Image.fromarray(mask).save(file, "PNG")
    return base64.b64encode(file.getvalue()).decode()


def labelme_region(kind: str) -> Any:
    shape: dict[str, Any] = {"label": "bone", "points": SQUARE, "shape_type": kind}
    if kind == "mask":
        shape |= {"points": [[10, 10], [29, 39]], "mask": in_png(rectangle()[10:40, 10:30])}
    elif kind == "circle":
        shape["points"] = [[20, 25], [30, 25]]
    elif kind in ("rectangle", "line"):
        shape["points"] = [[10, 10], [30, 40]]
    elif kind == "point":
        shape["points"] = [[10, 10]]
    return {"shapes": [shape], "imageHeight": HEIGHT, "imageWidth": WIDTH}


def coco_region(kind: str) -> Any:
    one: dict[str, Any] = {"image_id": 1, "category_id": 1, "bbox": [10, 10, 20, 30]}
    runs = coco.encode(np.asfortranarray(rectangle(), np.uint8))
    numbers = [620, *[30, 30] * 19, 30, 4800 - 620 - 60 * 19 - 30]
    if kind == "polygons":
        one["segmentation"] = [[place for point in SQUARE for place in point]]
    elif kind == "run lengths as text":
        one["segmentation"] = {"size": list(SHAPE), "counts": runs["counts"].decode()}
    elif kind == "run lengths as numbers":
        numbers[0] = 10 * HEIGHT + 10
        numbers[-1] = HEIGHT * WIDTH - sum(numbers[:-1])
        one["segmentation"] = {"size": list(SHAPE), "counts": numbers}
    image = {"id": 1, "file_name": "knee.png", "height": HEIGHT, "width": WIDTH}
    return {"images": [image], "annotations": [one], "categories": [{"id": 1, "name": "bone"}]}


def cvat_region(kind: str) -> str:
    points = ";".join(f"{x},{y}" for x, y in SQUARE)
    facts = {
        "polygon": f'points="{points}"',
        "mask": 'rle="0, 600" left="10" top="10" width="20" height="30"',
        "ellipse": 'cx="20" cy="25" rx="10" ry="15"',
        "box": 'xtl="10" ytl="10" xbr="30" ybr="40"',
        "cuboid": 'xtl1="10" ytl1="10"',
    }.get(kind, f'points="{points}"')
    image = f'<image id="0" name="knee.png" width="{WIDTH}" height="{HEIGHT}">'
    shape = f'<{kind} label="bone" {facts}/><tag label="left"/>'
    return f"<annotations>{image}{shape}</image></annotations>"


def label_studio_region(kind: str) -> Any:
    value: dict[str, Any] = {"x": 12.5, "y": 100 / 6, "width": 25, "height": 50}
    if kind == "polygon":
        value = {"points": [[100 * x / WIDTH, 100 * y / HEIGHT] for x, y in SQUARE]}
    elif kind == "ellipse":
        value = {"x": 25, "y": 250 / 6, "radiusX": 12.5, "radiusY": 25, "rotation": 0}
    elif kind == "brush":
        value = {"format": "rle", "rle": packed(rectangle())}
    elif kind == "bitmask":
        pixels, file = np.zeros((*SHAPE, 4), np.uint8), io.BytesIO()
        pixels[..., 3] = rectangle() * 255
        Image.fromarray(pixels).save(file, "PNG")
        text = base64.b64encode(file.getvalue()).decode()
        value = {"imageDataURL": f"data:image/png;base64,{text}"}
    sizes = {"original_width": WIDTH, "original_height": HEIGHT, "image_rotation": 0}
    result = sizes | {"type": f"{kind}labels", "value": value | {f"{kind}labels": ["bone"]}}
    return [{"data": {"image": "knee.png"}, "annotations": [{"result": [result]}]}]


def yolo_region(number: str = "0", end: str = "\n") -> str:
    return f"{number} " + " ".join(f"{x / WIDTH} {y / HEIGHT}" for x, y in SQUARE) + end
