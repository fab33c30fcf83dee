"""Thumbnails of a film, its ground truth, its mask and their difference, as data: URIs."""

from __future__ import annotations

import base64
import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from boneseg.preprocessing import Floats, resize

SIDE = 384  # px, at most
# Okabe-Ito palette: safe for colour-blind readers, and distinct in greyscale.
FALSE_POSITIVE, FALSE_NEGATIVE = (213, 94, 0), (86, 180, 233)

Mask = NDArray[np.bool_]


def thumbnails(pixels: Floats, truth: Mask, mask: Mask) -> dict[str, str]:
    """The data: URIs of "film", "truth", "mask" and "error".

    pixels: float32 H x W in [0, 1]. truth, mask: bool H x W. In "error" the film is dimmed, and a
    reduced pixel is coloured by the share of wrong pixels in it.
    """
    film = np.clip(_shrink(pixels), 0, 1)
    error = np.repeat(film[..., None] * 127, 3, axis=2)
    for wrong, colour in ((mask & ~truth, FALSE_POSITIVE), (truth & ~mask, FALSE_NEGATIVE)):
        share = np.clip(_shrink(wrong), 0, 1)[..., None]
        error += (np.array(colour, np.float32) - error) * share
    grey = {"film": film, "truth": _shrink(truth), "mask": _shrink(mask)}
    return {name: _data_uri(picture * 255) for name, picture in grey.items()} | {
        "error": _data_uri(error)
    }


def _shrink(picture: Floats | Mask) -> Floats:
    height, width = picture.shape
    scale = min(1.0, SIDE / max(height, width))
    size = max(1, round(height * scale)), max(1, round(width * scale))
    return resize(picture.astype(np.float32), size)


def _data_uri(picture: Floats) -> str:
    """The data: URI (WebP) of H x W or H x W x 3 in [0, 255]."""
    image = Image.fromarray((np.clip(picture, 0, 255) + 0.5).astype(np.uint8))
    encoded = io.BytesIO()
    image.save(encoded, "WEBP", quality=85, use_sharp_yuv=True)
    return "data:image/webp;base64," + base64.b64encode(encoded.getvalue()).decode("ascii")
