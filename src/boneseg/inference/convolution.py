"""Convolutions of small networks in NumPy, with a single thread."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from threading import Lock
from typing import TYPE_CHECKING

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from boneseg.preprocessing import Floats

if TYPE_CHECKING:
    from threadpoolctl import ThreadpoolController

# BLAS threads spin while waiting, for longer than their share of such a small network takes, and
# the cores are needed for segmentation. The thread limit is global to NumPy.
_one_at_a_time = Lock()


@contextmanager
def single_threaded() -> Iterator[None]:
    """Limit BLAS to one thread; one such network runs at a time."""
    with _one_at_a_time:
        if os.environ.get("OPENBLAS_NUM_THREADS") == "1":  # as in `boneseg segment`
            yield
        else:
            with _threads().limit(limits=1, user_api="blas"):
                yield


def convolved(features: Floats, weight: Floats, stride: int) -> Floats:
    """Convolve C x N x H x W with O x C x 3 x 3 to O x N x H/stride x W/stride, zero-padded."""
    channels, count, height, width = features.shape
    padded = np.zeros((channels, count, height + 2, width + 2), np.float32)
    padded[:, :, 1:-1, 1:-1] = features
    windows = sliding_window_view(padded, (3, 3), axis=(2, 3))[:, :, ::stride, ::stride]
    return np.tensordot(weight, windows, axes=([1, 2, 3], [0, 4, 5]))


def rectified(features: Floats, bias: Floats) -> Floats:
    """Add the bias of each of the channels, the first axis, and cut off at 0; in place."""
    features += bias[:, None, None, None]
    return np.maximum(features, 0, out=features)


@cache
def _threads() -> ThreadpoolController:
    from threadpoolctl import ThreadpoolController  # takes 15 ms with what it looks for

    return ThreadpoolController()
