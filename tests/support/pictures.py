"""Pictures of one film, in any format and mode."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from tests.support import films

GREY = films.bone(top=255).astype(np.uint8)


def saved(path: Path, pixels, mode=None, **options) -> Path:
    image = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
    (image.convert(mode) if mode else image).save(path, **options)
    return path


BANDS = {"LA": (0, 3), "RGB": (0, 0, 0), "RGBA": (0, 0, 0, 3)}


def deep(mode, top):
    """A film of 0 to `top` as bands of 16 bits, and what it comes to."""
    grey = films.bone(top=top)
    bands = np.stack([grey if band == 0 else np.full_like(grey, 65535) for band in BANDS[mode]], -1)
    return bands, grey / top
