"""Make the sample films that ship with boneseg: simulated, of OpenSim's skeleton (CC BY 3.0).

python -m scripts.sample_films --data ../shared/data/skeleton

The films that ship were made at commit eae9beb, the knee at 92c568b: of the same seeds a later
simulator makes others.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from PIL import Image

from boneseg.bundle.shipped import sample_films
from boneseg.simulate import SkeletonSource

FILMS = {"hand": 503, "knee": 539, "foot": 505, "forearm": 508, "hip": 503}  # selected seeds


def main() -> None:
    words = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    words.add_argument("--data", type=Path, default=Path("../shared/data/skeleton"))
    data = words.parse_args().data
    models = tuple(data / "models" / f"{name}.osim" for name in ("Rajagopal2016", "wrist"))
    sample_films().mkdir(parents=True, exist_ok=True)
    for region, seed in FILMS.items():
        film = SkeletonSource(data / "meshes", models, region).film(seed, (384, 384))
        grey = Image.fromarray(np.rint(film.pixels * 255).astype(np.uint8))
        grey.save(sample_films() / f"{region}.png", optimize=True)  # `save_png` marks results


if __name__ == "__main__":
    main()
