"""The film with its bones tinted and outlined, as a PNG."""

from __future__ import annotations

from pathlib import Path

from boneseg._util.drawing.overlay import picture
from boneseg.masks.formats.png import save_png
from boneseg.masks.segmentation import Segmentation


def write(path: Path, segmentation: Segmentation) -> None:
    """Write the film with its mask on it as a PNG with a palette. Raises OutputError."""
    save_png(path, picture(segmentation.film.pixels, segmentation.mask))
