"""Draw docs/images/films.png: phantom films beside their exact masks.

python scripts/readme_picture.py
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from boneseg.simulate import phantom_film
from boneseg.writers.overlay import overlay

SIDE = 320
OUT = Path(__file__).resolve().parent.parent / "docs" / "images" / "films.png"


def main(seeds: tuple[int, ...]) -> None:
    columns = []
    for seed in seeds:
        film = phantom_film(seed, (SIDE, SIDE))
        bare = overlay(film.pixels, film.mask & False)
        columns.append(np.vstack([bare, overlay(film.pixels, film.mask)]))
    OUT.parent.mkdir(parents=True, exist_ok=True)
    picture = Image.fromarray(np.hstack(columns)).quantize(128, dither=Image.Dither.NONE)
    picture.save(OUT, optimize=True)


if __name__ == "__main__":
    main((114, 58, 43, 13))
