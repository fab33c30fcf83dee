"""Convolutions of small networks in NumPy, with a single thread."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from threading import Lock

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from threadpoolctl import ThreadpoolController

from boneseg.preprocessing import Floats

# BLAS threads spin while waiting, for longer than their share of such a small network takes, and
# the cores are needed for segmentation. The thread limit is global to NumPy.
_one_at_a_time = Lock()


@contextmanager
def single_threaded() -> Iterator[None]:
    """Limit BLAS to one thread; one such network runs at a time."""
    with _one_at_a_time, _threads().limit(limits=1, user_api="blas"):
        yield


def convolved(features: Floats, weight: Floats, stride: int) -> Floats:
    """Convolve C x H x W with O x C x 3 x 3 to O x H/stride x W/stride, zero-padded."""
    padded = np.pad(features, ((0, 0), (1, 1), (1, 1)))
    windows = sliding_window_view(padded, (3, 3), axis=(1, 2))[:, ::stride, ::stride]
    return np.tensordot(weight, windows, axes=([1, 2, 3], [0, 3, 4]))


@cache
def _threads() -> ThreadpoolController:
    return ThreadpoolController()
