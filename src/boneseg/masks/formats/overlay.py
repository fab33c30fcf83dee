"""The film with its bones tinted and outlined, as a PNG."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from boneseg._util.drawing.overlay import named_picture, picture
from boneseg.masks.formats.png import save_png
from boneseg.masks.segmentation import BONE, Segmentation

_UNNAMED = (200, 200, 200)  # bone without a name, beside the colours of the others


def write(path: Path, segmentation: Segmentation) -> None:
    """Write the film with its mask on it as a PNG; bones with names in colours. Raises OutputError.

    A film longer than `Segmentation.overlay_side` is reduced by the smallest whole factor.
    """
    grey, mask, side = segmentation.film.grey, segmentation.mask, segmentation.overlay_side
    factor = 1 if side is None else math.ceil(max(grey.shape) / side)
    factor = min(factor, *grey.shape)
    height, width = (side // factor for side in grey.shape)
    pixels = grey.pixels() if factor == 1 else grey.reduced(factor)[:height, :width]

    def small(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
        centres = mask[factor // 2 :: factor, factor // 2 :: factor]
        return centres[:height, :width]

    if segmentation.bones is None:
        save_png(path, picture(pixels, small(mask)))
        return
    from boneseg.masks.terminology import colour_of  # few calls need it

    bones = [
        ("", _UNNAMED, small(layer.mask))
        if layer.label == BONE
        else (layer.label, colour_of(layer.label), small(layer.mask))
        for layer in segmentation.layers
    ]
    save_png(path, named_picture(pixels, bones))
