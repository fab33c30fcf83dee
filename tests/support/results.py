"""Films, and what `segment` makes of them in one folder."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
from PIL import Image

from boneseg.inference.batch import segment_files
from boneseg.inference.engine import Engine
from boneseg.masks.formats import FORMATS
from tests.support.films import bone

DOCUMENTS = [kind for kind, form in FORMATS.items() if form.document]


def film(path: Path, shift: int = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    grey = (bone(64, 48) >> 4).astype(np.uint8)
    Image.fromarray(np.roll(grey, shift, axis=1)).save(path)
    return path


def segmented(engine: Engine, out: Path, *films: Path, **words: Any) -> list[dict[str, Any]]:
    """Segment, and give the report."""
    segment_files(films, out, engine, **words)
    return list(json.loads((out / "segment.json").read_text()))


def titles(out: Path, kind: str) -> list[str]:
    path = out / FORMATS[kind].document
    if path.suffix == ".csv":
        with path.open() as file:
            return list(dict.fromkeys(row["film"] for row in csv.DictReader(file)))
    if kind == "cvat":
        return [image.attrib["name"] for image in ElementTree.parse(path).iter("image")]
    document = json.loads(path.read_text())
    if kind == "label-studio":
        return [task["data"]["image"].rpartition("=")[2] for task in document]
    return [image["file_name"] for image in document["images"]]
