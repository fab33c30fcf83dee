"""The name of a file without the suffix of its format."""

from __future__ import annotations

from pathlib import Path

from boneseg.masks.annotations import suffix_of
from boneseg.radiograph.sniff import DICOM_SUFFIXES

IMAGE_SUFFIXES = (
    *(".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".tif", ".tiff", ".bmp", ".gif", ".webp"),
    *(".jp2", ".j2k", ".jpx", ".pgm", ".pnm", ".ppm"),
)


def stem_of(path: Path) -> str:
    """The name without its image suffix: a DICOM file named by its UID keeps all of it."""
    suffix = suffix_of(path)
    if suffix and len(path.name) > len(suffix):
        return path.name[: -len(suffix)]
    known = path.suffix.lower() in IMAGE_SUFFIXES + DICOM_SUFFIXES
    return path.stem if known else path.name
