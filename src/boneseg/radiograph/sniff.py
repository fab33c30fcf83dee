"""Recognise the kind of a file by its name and its first bytes."""

from __future__ import annotations

from pathlib import Path

from boneseg._util.files import open_regular

SUFFIXES = frozenset(
    (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".webp", ".dcm", ".dicom", ".dic")
)
DICOM_SUFFIXES = (".dcm", ".dicom", ".dic")
PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"  # PNG 5.2
TIFF_SIGNATURES = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")  # the last two: BigTIFF
_IMAGES = (b"\x89PNG", b"\xff\xd8\xff", b"BM", b"RIFF", *TIFF_SIGNATURES)


def is_dicom(path: Path) -> bool:
    """Whether a file has the DICM mark, or a DICOM suffix but no image signature.

    Raises OSError.
    """
    if path.suffix.lower() not in DICOM_SUFFIXES:
        return has_dicom_mark(path)
    with path.open("rb") as file:
        return has_dicom_mark(path) or not file.read(8).startswith(_IMAGES)


def has_dicom_mark(path: Path) -> bool:
    """Whether a file has the DICM mark (PS3.10 7.1). Raises OSError."""
    with open_regular(path) as file:
        return file.read(132)[128:] == b"DICM"


def is_tiff(path: Path) -> bool:
    """Whether a file has a TIFF signature. Raises OSError."""
    with path.open("rb") as file:
        return file.read(4) in TIFF_SIGNATURES
