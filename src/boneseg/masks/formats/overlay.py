"""The film with its bones tinted and outlined, as a PNG."""

from __future__ import annotations

import math
from pathlib import Path

from boneseg._util.drawing.overlay import picture
from boneseg.masks.formats.png import save_png
from boneseg.masks.segmentation import Segmentation
from boneseg.preprocessing import reduced


def write(path: Path, segmentation: Segmentation) -> None:
    """Write the film with its mask on it as a PNG with a palette. Raises OutputError.

    A film longer than `Segmentation.overlay_side` is reduced by the smallest whole factor.
    """
    grey, mask, side = segmentation.film.grey, segmentation.mask, segmentation.overlay_side
    factor = 1 if side is None else math.ceil(max(grey.shape) / side)
    factor = min(factor, *grey.shape)
    pixels = grey.pixels() if factor == 1 else reduced(grey, factor)
    centres = mask[factor // 2 :: factor, factor // 2 :: factor]
    save_png(path, picture(pixels, centres[: pixels.shape[0], : pixels.shape[1]]))
