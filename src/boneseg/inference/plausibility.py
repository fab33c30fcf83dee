"""Whether a picture looks like a radiograph at all: a small network of its own, run in NumPy.

    likeness(film.pixels)     # under 0.5: a photograph, a CT slice, a page, a blank ...

A model answers whatever it is shown. This network answers one question of the film, squeezed to
SIDE x SIDE: strided 3 x 3 convolutions, the mean and the maximum of each feature, one logit.
`scripts/train_film_check.py` makes its weights, in float16 and with the batch norms folded in:
`LAYER.weight` (out x in x 3 x 3) and `LAYER.bias` of each layer, counted from 0; `head.weight` and
`head.bias`. It takes milliseconds, and no library that a base install lacks.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from threading import Lock

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from threadpoolctl import ThreadpoolController

from boneseg.errors import BundleError
from boneseg.preprocessing import Floats, resize

SIDE = 128  # px; the film's own shape is given up
STRIDES = (2, 2, 2, 1, 2, 1)  # of the layers
LEAST = 0.5  # likeness under which a user is warned
BLANK = 0.04  # standard deviation of a blank, at SIDE x SIDE; of 469 real films the least is 0.08

# NumPy's threads wait by spinning, each longer than its share of such a small network takes, and
# the cores are wanted for the bones. How many there are is set for all of NumPy.
_one_at_a_time = Lock()


@cache
def _threads() -> ThreadpoolController:
    return ThreadpoolController()


@dataclass(frozen=True)
class FilmCheck:
    """The network: (weight, bias) of each layer and of the head, float32."""

    layers: tuple[tuple[Floats, Floats], ...]
    head: tuple[Floats, Floats]

    def logit(self, pixels: Floats) -> float:
        """float32 H x W in [0, 1] to the logit that it is a radiograph, less the threshold's."""
        small = np.clip(resize(pixels, (SIDE, SIDE)), 0, 1)
        if small.std() < BLANK:
            return -math.inf
        with _one_at_a_time, _threads().limit(limits=1, user_api="blas"):
            return self._answer(2 * small[None] - 1)

    def _answer(self, features: Floats) -> float:
        for (weight, bias), stride in zip(self.layers, STRIDES, strict=True):
            features = np.maximum(_convolved(features, weight, stride) + bias[:, None, None], 0)
        pooled = np.concatenate([features.mean(axis=(1, 2)), features.max(axis=(1, 2))])
        weight, bias = self.head
        return float((weight @ pooled + bias).item())


def weights() -> Path:
    """Where the weights that ship with boneseg lie."""
    return Path(__file__).parents[1] / "models" / "film-check.safetensors"


def likeness(pixels: Floats) -> float:
    """How much float32 H x W in [0, 1] looks like a radiograph, in [0, 1]; bone bright or dark.

    Some 1 % of real radiographs lie below LEAST: see docs/bundled-model.md. Raises BundleError.
    """
    logit = load_film_check(weights()).logit(pixels)
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


def _convolved(features: Floats, weight: Floats, stride: int) -> Floats:
    """C x H x W and O x C x 3 x 3 to O x H/stride x W/stride, with zeros around."""
    padded = np.pad(features, ((0, 0), (1, 1), (1, 1)))
    windows = sliding_window_view(padded, (3, 3), axis=(1, 2))[:, ::stride, ::stride]
    return np.tensordot(weight, windows, axes=([1, 2, 3], [0, 3, 4]))
