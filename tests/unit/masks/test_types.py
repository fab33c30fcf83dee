"""Limits on what a file of annotations may claim, checked before anything is unpacked."""

from __future__ import annotations

import numpy as np
import pytest

from boneseg.errors import MaskError
from boneseg.masks.types import MAX_BYTES, MaskSizeError, OtherSizeError, Region, affordable, fits
from boneseg.radiograph.film import MAX_PIXELS


def test_a_size_is_the_film_s_or_refused() -> None:
    assert fits((60, 80), (60, 80)) == fits((60, 80), None) == (60, 80)
    with pytest.raises(OtherSizeError) as refusal:
        fits((80, 60), (60, 80))
    assert refusal.value.size == (80, 60)


@pytest.mark.parametrize("size", [(0, 80), (60, -1), (MAX_PIXELS, 2)])
def test_a_size_that_no_film_has_is_refused(size: tuple[int, int]) -> None:
    with pytest.raises(MaskError, match=r"invalid size of .*; export it again"):
        fits(size, None)


def test_data_that_unpack_to_too_much_are_refused() -> None:
    affordable(MAX_BYTES, 1)
    with pytest.raises(MaskError, match="unpacks to more than the 400 MB"):
        affordable(MAX_BYTES // 8 + 1, 8)


@pytest.mark.parametrize(
    ("text", "label"), [(" bone ", "bone"), ("", "unlabelled"), (" ", "unlabelled")]
)
def test_a_label_has_no_blanks_around_it_and_is_never_empty(text: str, label: str) -> None:
    assert Region(text, None, rings=(np.zeros((3, 2)),)).label == label


def test_a_mask_of_another_size_names_both() -> None:
    error = MaskSizeError("knee.png", (60, 80), (30, 40))
    assert "60 x 80 pixels but its film is 30 x 40 (height x width)" in str(error)
    assert (error.size, error.film) == ((60, 80), (30, 40))
