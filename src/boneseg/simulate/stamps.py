"""Shapes drawn as images."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw

from boneseg.simulate.projector import Array


def stamp(shape: tuple[int, int], draw: Sequence[tuple[str, object, float]]) -> Array:
    """Draw shapes as an image in [0, 1]: ("line", points, width), ("ring", box, width), filled."""
    image = Image.new("L", (shape[1], shape[0]))
    pen = ImageDraw.Draw(image)
    for kind, where, width in draw:
        thick = max(1, round(width))
        if kind == "line":
            pen.line(where, fill=255, width=thick, joint="curve")  # type: ignore[arg-type]
        elif kind == "ring":
            pen.ellipse(where, outline=255, width=thick)  # type: ignore[arg-type]
        elif kind == "hole":
            pen.ellipse(where, fill=0)  # type: ignore[arg-type]
        elif kind == "disc":
            pen.ellipse(where, fill=255)  # type: ignore[arg-type]
        else:
            pen.polygon(where, fill=255)  # type: ignore[arg-type]
    return np.asarray(image, np.float32) / np.float32(255)
