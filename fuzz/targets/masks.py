"""Masks in every format that is read, and the documents that a writer adds to."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from mutations import png_checked
from PIL import Image

from boneseg.errors import BonesegError
from boneseg.masks.annotations import open_annotations, read_named
from boneseg.masks.formats import DOCUMENT_FORMATS, FORMATS
from boneseg.masks.read import read_mask
from targets.films import SIZE
from targets.target import Target
from tests.support.readings import dicom_film, picture, reading


def _mask() -> Any:
    rows, columns = np.mgrid[: SIZE[0], : SIZE[1]]
    disc = (rows - 25) ** 2 + (columns - 30) ** 2 < 200
    return disc & ((rows - 25) ** 2 + (columns - 30) ** 2 > 30) | (columns > 70)


def _masks(form: str, suffix: str = "") -> Callable[[Path], list[bytes]]:
    """A mask as this project writes it, and as its own size says."""

    def seeds(folder: Path) -> list[bytes]:
        is_dicom = form.startswith("dicom-seg")
        make = dicom_film if is_dicom else picture
        path = make(folder / ("knee.dcm" if is_dicom else "knee.png"), *SIZE)
        found = reading(path, _mask())
        chosen = FORMATS[form]
        if chosen.document:
            chosen.write_document(folder / chosen.document, [chosen.entry(found)])
            return [(folder / chosen.document).read_bytes()]
        written = folder / f"out{suffix or chosen.suffix}"
        chosen.write(written, found)
        return [written.read_bytes()]

    return seeds


def _pictures(kind: str) -> Callable[[Path], list[bytes]]:
    def seeds(folder: Path) -> list[bytes]:
        files = []
        for mode in ("1", "L", "RGB", "P"):
            file = io.BytesIO()
            Image.fromarray(_mask()).convert(mode).save(file, kind)
            files.append(file.getvalue())
        return files

    return seeds


def _plain_nifti(folder: Path) -> list[bytes]:
    import gzip

    return [gzip.decompress(content) for content in _masks("nifti")(folder)]


def _read_masks(path: Path) -> None:
    """Every film of a file of annotations, each by itself, as a data set does."""
    faults = []
    for drawing in open_annotations(path):
        try:
            read_mask(path, SIZE, film=drawing.name or None)
        except BonesegError as error:
            faults.append(error)
    if faults:
        raise faults[0]


def _read_bones(path: Path) -> None:
    """A folder with a mask of each bone; `path` is one of them."""
    folder = path.parent / "knee_bones"
    folder.mkdir(exist_ok=True)
    (folder / "femur.png").write_bytes(path.read_bytes())
    read_named(folder, SIZE)


def _read_picture(path: Path) -> None:
    read_mask(path, SIZE)


def targets() -> dict[str, Target]:
    names = {
        "nrrd": "knee.seg.nrrd",
        "dicom-seg": "knee.dcm",
        "labelme": "knee.json",
        "coco": "coco.json",
        "coco-polygons": "coco.json",
        "cvat": "annotations.xml",
        "label-studio": "studio.json",
        "yolo": "knee.txt",
    }
    found = {
        f"mask-{form}": Target(name, _read_masks, _masks(form)) for form, name in names.items()
    }
    found |= {
        "mask-nifti-gz": Target("knee.nii.gz", _read_masks, _masks("nifti")),
        "mask-nifti": Target("knee.nii", _read_masks, _plain_nifti),
        "mask-png": Target("knee.png", _read_picture, _pictures("PNG"), png_checked),
        "mask-tiff": Target("knee.tif", _read_picture, _pictures("TIFF")),
        "mask-bmp": Target("knee.bmp", _read_picture, _pictures("BMP")),
        "mask-bones": Target("femur.png", _read_bones, _masks("mask"), png_checked),
    }
    return found | {
        f"document-{form}": Target(one.document, one.read_document, _masks(form))
        for form, one in DOCUMENT_FORMATS.items()
    }
