"""HTML for results in a notebook: figures and tables with their own style.

    frame(table(("", "films"), [("hand", "3")]) + figure(film.pixels, "caption", mask))

Captions and cells are markup: the caller escapes untrusted text (names, reasons).
"""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from boneseg._util.drawing.overlay import overlay
from boneseg.preprocessing import Floats

SIDE = 512  # longest side of an image, px

_STYLE = """<style>
.boneseg figure{display:inline-block;margin:0 1em 1em 0;vertical-align:top}
.boneseg svg{width:26em;max-width:100%;height:auto}.boneseg svg text{fill:gray;font-size:12px}
.boneseg .grid{stroke:gray;stroke-opacity:.3;fill:none}.boneseg .bar,.boneseg .dot{fill:#0072b2}
.boneseg .line{fill:none;stroke:#0072b2;stroke-width:2}.boneseg .old{opacity:.5}
.boneseg .best{fill:none;stroke:#d55e00;stroke-width:2}
.boneseg img{min-width:16em;max-width:100%}
.boneseg td,.boneseg th{text-align:right;padding:.1em .8em;font-variant-numeric:tabular-nums}
.boneseg th:first-child{text-align:left}
</style>"""


def frame(markup: str) -> str:
    """The return value of `_repr_html_`: the markup with its style."""
    return f'{_STYLE}<div class="boneseg">{markup}</div>'


def table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table; the first cell of each row is its heading."""
    head = "".join(f"<th>{name}</th>" for name in heads)
    body = "".join(
        f"<tr><th>{first}</th>{''.join(f'<td>{cell}</td>' for cell in rest)}</tr>"
        for first, *rest in rows
    )
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def titled(title: str, chart: str) -> str:
    """A chart (inline SVG) below its title."""
    return f"<figure><figcaption>{title}</figcaption>{chart}</figure>"


def figure(
    pixels: Floats, caption: str, mask: NDArray[np.bool_] | None = None, side: int = SIDE
) -> str:
    """A film, with its mask where one is given, above its caption.

    pixels: float32 H x W in [0, 1]. mask: bool H x W. side: longest side of the picture, px.
    """
    shown = overlay(pixels, mask if mask is not None else np.zeros(pixels.shape, np.bool_))
    image = Image.fromarray(shown)
    image.thumbnail((side, side))
    encoded = io.BytesIO()
    image.save(encoded, "PNG")
    uri = "data:image/png;base64," + base64.b64encode(encoded.getvalue()).decode("ascii")
    return f'<figure><img src="{uri}" alt="radiograph"><figcaption>{caption}</figcaption></figure>'
