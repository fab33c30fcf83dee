"""The HTML of a result in a notebook is self-contained."""

from __future__ import annotations

import base64
import io
import re

import numpy as np
from PIL import Image

from boneseg._util.drawing.html import figure, frame, table, titled
from boneseg._util.drawing.overlay import COLOUR


def shown(markup: str) -> Image.Image:
    encoded = re.search(r"data:image/png;base64,([^\"]+)", markup)
    assert encoded is not None
    return Image.open(io.BytesIO(base64.b64decode(encoded[1])))


def test_a_film_is_shown_small_with_its_mask() -> None:
    pixels = np.full((100, 50), 0.5, np.float32)
    mask = np.zeros((100, 50), bool)
    mask[20:80, 10:40] = True
    image = shown(figure(pixels, "a knee", mask, side=50))
    assert image.size == (25, 50)
    assert "<figcaption>a knee</figcaption>" in figure(pixels, "a knee")
    plain = np.asarray(shown(figure(pixels, "")).convert("RGB"))
    assert (plain == plain[..., :1]).all()  # grey all over
    outlined = np.asarray(shown(figure(pixels, "", mask)).convert("RGB"))
    assert (outlined == COLOUR).all(axis=2).any()


def test_a_table_has_a_heading_for_each_row_and_column() -> None:
    markup = table(("", "films"), [("hand", "3"), ("leg", "4")])
    assert "<tr><th></th><th>films</th></tr>" in markup
    assert "<tr><th>leg</th><td>4</td></tr>" in markup


def test_a_frame_contains_its_style_and_no_url() -> None:
    markup = frame(titled("Dice", "<svg></svg>"))
    assert markup.startswith("<style>") and "<figcaption>Dice</figcaption><svg>" in markup
    assert "http" not in markup and "<script" not in markup
