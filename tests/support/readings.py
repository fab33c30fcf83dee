"""Segmentations for tests: a film, its mask, and all other inputs of writers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from numpy.typing import NDArray
from PIL import Image
from pydicom.uid import (
    generate_uid,
)

from boneseg.bundle.card import Card
from boneseg.masks.formats import FORMATS
from boneseg.masks.formats.dicom_seg.source import read_source
from boneseg.masks.formats.dicom_seg.write import dicom_seg
from boneseg.masks.segmentation import Segmentation
from boneseg.radiograph.read import read_radiograph
from tests.support.films import bone, dicom

Mask = NDArray[np.bool_]


def card(**facts: Any) -> Card:
    """The card of a model of which nothing is known but the `facts`."""
    known: dict[str, Any] = {
        "architecture": {"widths": [8, 16]},
        "height": 64,
        "width": 64,
        "threshold": 0.5,
        "metrics": {},
        "restarts": 0,
        "recipe": {},
        "versions": {},
        "card_sha256": "ab" * 32,
    }
    return Card(**known | facts)


def picture(path: Path, height: int = 60, width: int = 80) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray((bone(height, width, 255)).astype(np.uint8)).save(path)
    return path


def dicom_film(path: Path, height: int = 60, width: int = 80, **more: Any) -> Path:
    facts = {"StudyInstanceUID": generate_uid(), "SeriesInstanceUID": generate_uid()}
    path.parent.mkdir(parents=True, exist_ok=True)
    return dicom(path, bone(height, width), **(facts | more))


def reading(
    path: Path, mask: Mask, model: Card | None = None, *, frame: int | None = None
) -> Segmentation:
    """What a model (or, without one, a person) found on a film: bone at 0.9, the rest at 0.1."""
    film = read_radiograph(path, frame=frame)
    probability = np.where(mask, np.float32(0.9), np.float32(0.1))
    return Segmentation(film, mask, probability, model.model if model else None, path)


def blobs(height: int = 60, width: int = 80) -> Mask:
    """A ring with an island in its hole, a bar at the border, and a single pixel."""
    rows, columns = np.mgrid[:height, :width]
    distance = np.hypot(rows - height / 2, columns - 30)
    mask = ((distance < 24) & (distance > 14)) | (distance < 6)
    mask[5 : height - 5, width - 10 :] = True
    mask[2, 2] = True
    return np.asarray(mask)


MASK = blobs()


def written(kind: str, one: Segmentation, folder: Path) -> Path:
    """The file of one format, or its document, in a folder."""
    form = FORMATS[kind]
    path = folder / (form.document or f"film{form.suffix}")
    if form.document:
        form.write_document(path, [form.entry(one)])
    else:
        form.write(path, one)
    return path


def segmentation_of(source: Path, **more: Any) -> pydicom.Dataset:
    one = reading(source, MASK, more.pop("model", card()))
    return dicom_seg(read_source(source), one, **more)
