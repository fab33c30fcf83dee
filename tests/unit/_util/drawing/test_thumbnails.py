"""Errors of a mask are shown in colour."""

from __future__ import annotations

import base64
import io

import numpy as np
from PIL import Image

from boneseg._util.drawing.thumbnails import FALSE_NEGATIVE, FALSE_POSITIVE, thumbnails


def test_false_positives_are_vermilion_and_false_negatives_blue() -> None:
    for shape in ((120, 200), (900, 1500)):
        truth, mask = np.zeros(shape, np.bool_), np.zeros(shape, np.bool_)
        truth[: shape[0] // 2], mask[shape[0] // 2 :] = True, True
        uris = thumbnails(np.full(shape, 0.5, np.float32), truth, mask)
        assert list(uris) == ["film", "truth", "mask", "error"]
        data = base64.b64decode(uris["error"].removeprefix("data:image/webp;base64,"))
        error = np.asarray(Image.open(io.BytesIO(data)).convert("RGB"), np.float64)
        assert max(error.shape) == min(384, shape[1])
        assert np.abs(error[10, 10] - FALSE_NEGATIVE).max() < 12
        assert np.abs(error[-10, 10] - FALSE_POSITIVE).max() < 12
