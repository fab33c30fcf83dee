"""An overlay shows the film, its bones tinted and outlined."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from boneseg._util.drawing.overlay import COLOUR, named_picture, overlay, picture

shapes = st.tuples(st.integers(1, 20), st.integers(1, 20))


def test_outside_the_mask_the_film_stays_grey() -> None:
    pixels = np.linspace(0, 1, 64, dtype=np.float32).reshape(8, 8)
    shown = overlay(pixels, np.zeros((8, 8), bool))
    assert (shown == shown[..., :1]).all()
    assert np.abs(shown[..., 0] / 255 - pixels).max() < 0.5 / 126 + 0.5 / 255
    assert (shown[0, 0, 0], shown[-1, -1, 0]) == (0, 255)


def test_the_edge_has_the_full_colour_and_the_inside_a_tint() -> None:
    mask = np.zeros((9, 9), bool)
    mask[2:7, 2:7] = True
    shown = overlay(np.full((9, 9), 1, np.float32), mask)
    edge = (shown == COLOUR).all(axis=2)
    inside = np.zeros((9, 9), bool)
    inside[3:6, 3:6] = True
    assert np.array_equal(edge, mask & ~inside)
    assert np.allclose(shown[4, 4], 255 + 0.3 * (np.array(COLOUR) - 255), atol=1)


def test_the_border_of_the_film_is_not_an_edge() -> None:
    shown = overlay(np.zeros((5, 5), np.float32), np.ones((5, 5), bool))
    assert not (shown == COLOUR).all(axis=2).any()


@given(shapes.flatmap(lambda shape: arrays(bool, shape)))
def test_the_palette_image_shows_the_same(mask: np.ndarray) -> None:
    pixels = np.full(mask.shape, 0.25, np.float32)
    image = picture(pixels, mask)
    assert image.mode == "P"
    assert np.array_equal(np.asarray(image.convert("RGB")), overlay(pixels, mask))


def test_each_bone_has_its_colour_and_its_name() -> None:
    pixels, femur = np.zeros((90, 60), np.float32), np.zeros((90, 60), bool)
    femur[10:80, 20:50] = True
    red, blue = (255, 0, 0), (0, 0, 255)
    plain, named = (
        np.asarray(named_picture(pixels, [(name, red, femur), ("", blue, ~femur)]))
        for name in ("", "femur")
    )
    assert tuple(plain[10, 30]) == red and tuple(plain[9, 30]) == blue
    assert tuple(plain[20, 30]) == (76, 0, 0)  # the tint
    changed = np.argwhere((named != plain).any(axis=2))
    assert len(changed) and abs(changed.mean(axis=0) - (44.5, 34.5)).max() < 3
    letters = named[(named != plain).any(axis=2)]
    assert letters[:, 1].max() > 100  # paler than the bone
    empty = named_picture(pixels, [("ribs", red, np.zeros_like(femur))])
    assert not np.asarray(empty).any()
