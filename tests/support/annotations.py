"""Files of annotation tools, as those tools write them, beside their films."""

from __future__ import annotations

import base64
import io
import json
from pathlib import Path
from typing import Any

import nrrd
import numpy as np
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from PIL import Image

from boneseg.dataset.open import open_dataset
from boneseg.masks.formats import FORMATS
from boneseg.masks.formats.png import write_mask
from tests.support.readings import MASK, dicom_film, picture
from tests.support.regions import Mask

DRAWN = [kind for kind, form in FORMATS.items() if form.drawn]


READ = [kind for kind in DRAWN if kind not in ("overlay", "measurements", "fragments")]


FRAME = (60, 80)


masks = array_shapes(min_dims=2, max_dims=2, min_side=16, max_side=24).flatmap(
    lambda shape: arrays(bool, shape, elements=st.booleans(), fill=st.booleans())
)


def dataset(root: Path, *names: str, dicom: bool = False) -> Path:
    """A folder of films that all have the same mask."""
    for name in names:
        if dicom:
            dicom_film(root / "images" / f"{name}.dcm")
        else:
            picture(root / "images" / f"{name}.png")
        (root / "masks").mkdir(parents=True, exist_ok=True)
        write_mask(root / "masks" / f"{name}.png", MASK)
    return root


def drawn(root: Path, file: str, content: Any, *films: str) -> Path:
    """Films, and one file of annotations in their masks folder."""
    for film in films or ("knee.png",):
        picture(root / "images" / film)
    path = root / "masks" / file
    path.parent.mkdir(parents=True, exist_ok=True)
    text = content if isinstance(content, str) else json.dumps(content)
    path.write_text(text, encoding="utf-8")
    return root


def only_mask(root: Path, **more: Any) -> Mask:
    (case,) = open_dataset(root, **more).cases
    return case.read_mask(FRAME)


# --- what others write ---

HOLE = [[15, 15], [25, 15], [25, 35], [15, 35]]


def square(hole: bool = False) -> Mask:
    mask = np.zeros(FRAME, bool)
    mask[10:40, 10:30] = True
    if hole:
        mask[15:35, 15:25] = False
    return mask


def labelme(*shapes: tuple[str, Any], size: tuple[int, int] | None = FRAME, **more: Any) -> Any:
    """A LabelMe document of polygons, each with its label."""
    polygons = [{"label": label, "points": points} | more for label, points in shapes]
    document: dict[str, Any] = {"version": "5.0.0", "shapes": polygons, "imagePath": "x.png"}
    return document | ({"imageHeight": size[0], "imageWidth": size[1]} if size else {})


def coco_document(*annotations: Any, films: tuple[str, ...] = ("knee.png",)) -> Any:
    images = [
        {"id": number, "file_name": film, "height": 60, "width": 80}
        for number, film in enumerate(films, start=7)
    ]
    categories = [{"id": 3, "name": "femur"}, {"id": 4, "name": "tibia"}]
    return {"images": images, "annotations": list(annotations), "categories": categories}


CVAT = """<?xml version="1.0" encoding="utf-8"?>
<annotations><version>1.1</version>
<image id="0" name="set/knee.png" width="80" height="60">
  <polygon label="hole" points="15.0,15.0;25.0,15.0;25.0,35.0;15.0,35.0" z_order="1"/>
  <polygon label="bone" points="10.00,10.00;30.00,10.00;30.00,40.00;10.00,40.00" z_order="0"/>
  {}<tag label="left"/>
</image></annotations>"""


def task(*results: Any, image: str = "/data/upload/1/ab12cd34-knee.png", **more: Any) -> Any:
    return {"data": {"image": image}, "annotations": [{"result": list(results)}]} | more


def polygon_result(points: Any, label: str = "bone") -> Any:
    height, width = FRAME
    parts = [[100 * x / width, 100 * y / height] for x, y in points]
    value = {"points": parts, "polygonlabels": [label]}
    sizes = {"original_width": width, "original_height": height}
    return {"type": "polygonlabels", "value": value, **sizes}


def labelled_apart(kind: str, label: str, **value: Any) -> list[Any]:
    """A region and its label, as the tags Brush, Polygon and so on make them with Labels."""
    sizes = {"original_width": FRAME[1], "original_height": FRAME[0], "id": label}
    return [
        sizes | {"type": kind, "value": value},
        sizes | {"type": "labels", "value": value | {"labels": [label]}},
        sizes | {"type": "choices", "value": value | {"choices": ["sure"]}},
    ]


def bitmask(mask: Mask) -> str:
    """As Label Studio has it: black on transparent."""
    pixels, file = np.zeros((*mask.shape, 4), np.uint8), io.BytesIO()
    pixels[..., 3] = mask * 255
    Image.fromarray(pixels).save(file, "PNG")
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()


def segments(path: Path, **facts: Any) -> Path:
    """A `.seg.nrrd` of one layer: a square of 1, in a frame of 2; its header, as far as it goes."""
    frame = np.where(square(hole=True), np.uint8(2), square().astype(np.uint8))
    axes = {"space": "left-posterior-superior", "space directions": np.eye(3)}
    path.parent.mkdir(parents=True, exist_ok=True)
    nrrd.write(str(path), frame.T[:, :, None], axes | {"space origin": np.zeros(3)} | facts)
    return path
