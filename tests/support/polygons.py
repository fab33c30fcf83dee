"""Polygons as each tool for annotation writes them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from PIL import Image

from boneseg.masks.formats import FORMATS
from tests.support.readings import MASK, dicom_film, reading
from tests.support.regions import (
    HEIGHT,
    SHAPE,
    WIDTH,
    Mask,
    label_studio_region,
    mask_of,
    rectangle,
)


def flat(points: Any) -> list[float]:
    return [place for point in points for place in point]


# --- every region paints, or is named ---


def labelme_polygons(*polygons: Any) -> Any:
    shapes = [{"label": "bone", "points": points} for points in polygons]
    return {"shapes": shapes, "imageHeight": HEIGHT, "imageWidth": WIDTH}


def coco_polygons(*polygons: Any, size: Any = SHAPE) -> Any:
    image = {"id": 1, "file_name": "knee.png", "height": size[0], "width": size[1]}
    one = {"image_id": 1, "category_id": 1, "segmentation": [flat(ring) for ring in polygons]}
    return {"images": [image], "annotations": [one]}


def cvat_polygons(*polygons: Any) -> str:
    shapes = "".join(
        '<polygon label="bone" points="{}"/>'.format(";".join(f"{x},{y}" for x, y in ring))
        for ring in polygons
    )
    image = f'<image name="knee.png" width="{WIDTH}" height="{HEIGHT}">{shapes}</image>'
    return f"<annotations>{image}</annotations>"


def label_studio_polygons(*polygons: Any) -> Any:
    document = label_studio_region("polygon")
    (result,) = document[0]["annotations"][0]["result"]
    results = []
    for ring in polygons:
        points = [[100 * x / WIDTH, 100 * y / HEIGHT] for x, y in ring]
        results.append(result | {"value": {"points": points, "polygonlabels": ["bone"]}})
    document[0]["annotations"][0]["result"] = results
    return document


def yolo_polygons(*polygons: Any) -> str:
    lines = [" ".join(f"{x / WIDTH} {y / HEIGHT}" for x, y in ring) for ring in polygons]
    return "".join(f"0 {line}\n" for line in lines)


TOOLS: dict[str, tuple[str, Callable[..., Any]]] = {
    "labelme": ("knee.json", labelme_polygons),
    "coco": ("instances.json", coco_polygons),
    "cvat": ("annotations.xml", cvat_polygons),
    "label-studio": ("project.json", label_studio_polygons),
    "yolo": ("knee.txt", yolo_polygons),
}


every_tool = pytest.mark.parametrize("tool", TOOLS)


def painted(root: Path, tool: str, *polygons: Any) -> Mask:
    name, document = TOOLS[tool]
    return mask_of(root, name, document(*polygons))


def segmentation(path: Path) -> pydicom.Dataset:
    film = dicom_film(path.with_name("film.dcm"))
    FORMATS["dicom-seg"].write(path, reading(film, MASK))
    return pydicom.dcmread(path)


# --- a fault costs its film ---


def film(path: Path) -> None:
    """A film that no other looks like."""
    noise = np.random.default_rng(sum(path.name.encode())).integers(0, 200, (6, 8), np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.kron(noise, np.ones((10, 10), np.uint8)) + rectangle() * np.uint8(55)).save(
        path
    )


sizes = array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=20)


masks = sizes.flatmap(lambda shape: arrays(bool, shape, elements=st.booleans()))


def blobs() -> Mask:
    """A ring with an island in its hole, a bar at the border, and a single pixel."""
    rows, columns = np.mgrid[:60, :80]
    distance = np.hypot(rows - 30, columns - 30)
    mask = ((distance < 24) & (distance > 14)) | (distance < 6)
    mask[5:55, 70:] = True
    mask[2, 2] = True
    return np.asarray(mask)
