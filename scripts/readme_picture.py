"""Draw docs/images/films.png: the sample films, and what the bundled model finds in them.

python -m scripts.readme_picture
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from boneseg._util.drawing.overlay import overlay
from boneseg.bundle.shipped import bundled, sample_films
from boneseg.bundle.store import load_bundle
from boneseg.inference.engine import Engine
from boneseg.radiograph.read import read_radiograph

HEIGHT = 300
OUT = Path(__file__).resolve().parent.parent / "docs" / "images" / "films.png"


def main() -> None:
    engine, columns = Engine(load_bundle(bundled())), []
    for path in sorted(sample_films().glob("*.png")):
        pixels = read_radiograph(path).pixels
        mask = engine.segment(pixels)
        views = [overlay(pixels, part) for part in (mask & False, mask)]
        small = [Image.fromarray(view).resize((_width(view), HEIGHT)) for view in views]
        columns.append(np.vstack([np.asarray(view) for view in small]))
    OUT.parent.mkdir(parents=True, exist_ok=True)
    picture = Image.fromarray(np.hstack(columns)).quantize(128, dither=Image.Dither.NONE)
    picture.save(OUT, optimize=True)


def _width(view: np.ndarray) -> int:
    return round(view.shape[1] * HEIGHT / view.shape[0])


if __name__ == "__main__":
    main()
