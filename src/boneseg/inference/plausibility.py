"""Estimate whether an image is a radiograph at all: a small separate network, run in NumPy.

    likeness(film.pixels)     # under 0.5: a photograph, a CT slice, a page, a blank ...

A segmentation model gives a mask for any image. This network classifies the film, resized to
SIDE x SIDE: strided 3 x 3 convolutions, mean and maximum pooling of each feature, one logit.
`scripts/train_film_check.py` trains its weights, in float16 with folded batch norms:
`LAYER.weight` (out x in x 3 x 3) and `LAYER.bias` of each layer, from 0; `head.weight` and
`head.bias`. It takes milliseconds, and needs only the base install.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from boneseg.bundle.shipped import film_check_weights
from boneseg.errors import BundleError
from boneseg.inference.convolution import convolved, rectified, single_threaded
from boneseg.preprocessing import Film, Floats, resize

SIDE = 128  # px; the aspect ratio is not kept
STRIDES = (2, 2, 2, 1, 2, 1)  # of the layers
LEAST = 0.5  # likeness below which a warning is given
BLANK = 0.04  # standard deviation at SIDE x SIDE below which it is blank; 469 real films: 0.08 up


@dataclass(frozen=True)
class FilmCheck:
    """The network: (weight, bias) of each layer and the head, float32."""

    layers: tuple[tuple[Floats, Floats], ...]
    head: tuple[Floats, Floats]

    def logit(self, pixels: Film | Floats) -> float:
        """The logit, relative to the threshold, that float32 H x W in [0, 1] is a radiograph."""
        small = np.clip(resize(pixels, (SIDE, SIDE)), 0, 1)
        if small.std() < BLANK:
            return -math.inf
        with single_threaded():
            return self._answer(2 * small[None, None] - 1)

    def _answer(self, features: Floats) -> float:
        for (weight, bias), stride in zip(self.layers, STRIDES, strict=True):
            features = rectified(convolved(features, weight, stride), bias)
        pooled = np.concatenate([features.mean(axis=(1, 2, 3)), features.max(axis=(1, 2, 3))])
        weight, bias = self.head
        return float((weight @ pooled + bias).item())


def likeness(pixels: Film | Floats) -> float:
    """How much float32 H x W in [0, 1] looks like a radiograph, in [0, 1]; bone bright or dark.

    About 1 % of real radiographs are below LEAST: see
    docs/explanation/bundled-model.md. Raises BundleError.
    """
    logit = load_film_check(film_check_weights()).logit(pixels)
    return float(1 / (1 + np.exp(-np.clip(logit, -60, 60))))


@cache
def load_film_check(path: Path) -> FilmCheck:
    """Read the weights. Raises BundleError."""
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    try:
        found = {name: value.astype(np.float32) for name, value in load_file(path).items()}
        pairs = [(found[f"{i}.weight"], found[f"{i}.bias"]) for i in range(len(STRIDES))]
        return FilmCheck(tuple(pairs), (found["head.weight"], found["head.bias"]))
    except (OSError, SafetensorError, KeyError):
        raise BundleError(f"{path}: is missing or damaged; install boneseg again") from None
