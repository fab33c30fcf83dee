"""Masks and thresholds as the page and the server exchange them."""

from __future__ import annotations

import gzip

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from boneseg.errors import MaskError
from boneseg.server.encoding import (
    is_threshold_of,
    packed_mask,
    packed_probability,
    unpacked_mask,
    unzipped_mask,
)


@given(st.integers(1, 40), st.integers(1, 40), st.integers(0, 2**32))
@settings(max_examples=50)
def test_masks_are_packed_and_unpacked(height: int, width: int, seed: int) -> None:
    mask = np.random.default_rng(seed).random((height, width)) < 0.5
    bits = gzip.decompress(packed_mask(mask))
    assert np.array_equal(unpacked_mask(bits, (height, width), ""), mask)


PACKED = packed_mask(np.ones((30, 40), bool))


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"not gzip",
        PACKED[:-9],
        PACKED[:12] + b"\xff" + PACKED[13:],
        PACKED[:-5] + b"\0" + PACKED[-4:],
        gzip.compress(bytes(10**8)),
        gzip.compress(b""),
    ],
    ids=["empty", "other", "cut", "damaged", "check sum", "bomb", "nothing"],
)
def test_damaged_content_of_the_folder_is_an_error_of_one_line(content: bytes) -> None:
    with pytest.raises(MaskError, match=r"^film: .*$"):
        unzipped_mask(content, (30, 40), "film")
    with pytest.raises(MaskError, match=r"^film: .*$"):
        is_threshold_of(np.eye(30, 40, dtype=bool), content, "film")


@given(st.integers(1, 255), st.floats(0, 1, width=32))
@settings(max_examples=200)
def test_thresholding_on_the_page_is_exact(level: int, p: float) -> None:
    packed = gzip.decompress(packed_probability(np.full((1, 1), p, np.float32)))
    assert (packed[0] >= level) == (np.float32(p) >= level / 256)


def test_a_mask_that_a_threshold_makes_is_known() -> None:
    probability = np.random.default_rng(0).random((30, 40), np.float32)
    packed = packed_probability(probability)
    for level in (1, 128, 255):
        assert is_threshold_of(probability >= level / 256, packed, "film")
    assert is_threshold_of(np.zeros((30, 40), bool), packed, "film")
    corrected = probability >= 0.5
    corrected[3, 4] ^= True
    assert not is_threshold_of(corrected, packed, "film")
