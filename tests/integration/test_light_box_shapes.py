"""Tools for shapes, and what is in sight, on the light box in a real browser."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy import ndimage

from tests.support.light_box_page import Page
from tests.support.requirements import needs_browser

pytestmark = needs_browser


def empty(page: Page) -> None:
    page.tab.evaluate(
        "lightbox.editor.replaceBy(new Uint8Array(lightbox.editor.mask.values.length), '')"
    )


def test_the_corners_of_a_closed_polygon_are_dragged(opened: Callable[..., Page]) -> None:
    page = opened()
    page.ready()
    empty(page)
    keys = page.tab.keyboard
    keys.press("p")
    for x, y in ((40, 40), (80, 40), (80, 80), (40, 80)):
        page.tab.mouse.click(*page.screen(x, y))
    keys.press("Enter")
    square = page.mask()
    assert abs(square.sum() - 1600) < 100
    page.drag((80, 80), (120, 120))
    kite = page.mask()
    assert abs(kite.sum() - 3200) < 200 and kite[100, 100] and not (square & ~kite).any()
    keys.press("z")  # the polygon is one action, however often it was changed
    assert not page.mask().any()
    keys.press("y")
    assert np.array_equal(page.mask(), kite)
    page.drag((40, 40), (60, 60))  # its corners can be moved again
    assert page.mask().sum() < kite.sum()
    keys.press("Escape")
    before = page.mask()
    page.drag((120, 120), (90, 90))  # a new polygon begins
    assert np.array_equal(page.mask(), before)


def test_a_click_removes_a_bone_and_adds_it_again(opened: Callable[..., Page]) -> None:
    page = opened()
    page.ready()
    page.tab.keyboard.press("g")
    suggested = page.mask()
    pieces, _ = ndimage.label(suggested)
    largest = 1 + int(np.argmax(np.bincount(pieces.ravel())[1:]))
    bone = pieces == largest
    y, x = np.argwhere(bone)[len(np.argwhere(bone)) // 2]
    page.tab.mouse.click(*page.screen(x + 0.5, y + 0.5))
    assert np.array_equal(page.mask(), suggested & ~bone)
    page.tab.mouse.click(*page.screen(x + 0.5, y + 0.5))
    assert np.array_equal(page.mask(), suggested)


def test_growing_shrinking_and_smoothing_are_scipys(opened: Callable[..., Page]) -> None:
    page = opened()
    page.ready()
    code = """async ([width, height, bits, radius]) => {
        const { grown, shrunk, smoothed } = await import("/static/morphology.js");
        const values = Uint8Array.from(bits);
        const painted = (spans) => {
            const out = new Array(bits.length).fill(0);
            for (let i = 0; i < spans.length; i += 3)
                for (let x = spans[i + 1]; x < spans[i + 2]; x++) out[spans[i] * width + x] = 1;
            return out;
        };
        const { added, removed } = smoothed(values, width, height, radius);
        const all = [grown(values, width, height, radius), shrunk(values, width, height, radius)];
        return [...all, added, removed].map(painted);
    }"""
    rng = np.random.default_rng(1)
    for radius in (1, 2, 3, 5):
        mask = ndimage.gaussian_filter(rng.random((31, 42)), 1.5) > 0.5
        mask[:4] = mask[:, -3:] = False
        touched = 2 * rng.integers(0, 2, mask.shape)  # by the user: the other bit of a mask
        asked = [42, 31, (mask + touched).ravel().tolist(), radius]
        found = [
            np.array(each, bool).reshape(mask.shape) for each in page.tab.evaluate(code, asked)
        ]
        grown, shrunk, added, removed = found
        near = ndimage.distance_transform_edt(~mask) <= radius
        assert np.array_equal(grown, near & ~mask)
        assert np.array_equal(shrunk, mask & (ndimage.distance_transform_edt(mask) <= radius))
        square = np.ones((2 * radius + 1,) * 2, int)
        bone = ndimage.convolve(mask.astype(int), square, mode="constant")
        whole = ndimage.convolve(np.ones_like(mask, int), square, mode="constant")
        assert np.array_equal(added, ~mask & (2 * bone > whole))
        assert np.array_equal(removed[mask], (2 * bone < whole)[mask])


def test_the_brush_covers_as_much_of_the_screen_at_each_zoom(opened: Callable[..., Page]) -> None:
    page = opened()
    page.ready()
    page.tab.locator("#size").evaluate(
        "(s) => { s.value = 60; s.dispatchEvent(new Event('input')) }"
    )
    across = "lightbox.tools.size * lightbox.view.scale / lightbox.view.ratio"
    for _ in range(3):
        assert abs(page.tab.evaluate(across) - 60) <= page.tab.evaluate("lightbox.view.scale")
        page.tab.keyboard.press("+")


def test_the_probability_has_a_legend_and_notifications_leave_the_readout_free(
    opened: Callable[..., Page],
) -> None:
    page = opened()
    page.ready()
    assert page.tab.locator("#scale").is_hidden()
    page.tab.keyboard.press("r")
    assert page.tab.locator("#scale").is_visible()
    page.tab.mouse.move(*page.screen(100, 100))
    page.tab.evaluate("import('/static/notify.js').then(({ notify }) => notify('done', 'info'))")
    page.wait(lambda: "done" in page.notifications())
    boxes = [page.tab.locator(f"#{one}").bounding_box() for one in ("notifications", "readout")]
    above, below = boxes
    assert above["y"] + above["height"] < below["y"]


def test_facts_and_controls_are_in_sight(opened: Callable[..., Page]) -> None:
    page = opened()
    page.ready()
    for height, wanted in (
        (900, ("#facts", "#download")),
        (650, ("#level", "#over", "#reference")),
    ):
        page.tab.set_viewport_size({"width": 1280, "height": height})
        for one in wanted:
            box = page.tab.locator(one).bounding_box()
            assert box["y"] + box["height"] <= height, one
    page.tab.set_viewport_size({"width": 390, "height": 844})
    for one in ("#title", "#level", "#save", "#accept"):
        box = page.tab.locator(one).bounding_box()
        assert box["y"] >= 0 and box["y"] + box["height"] <= 844, one
        assert box["x"] >= 0 and box["x"] + box["width"] <= 390, one
    assert page.tab.inner_text("#title").startswith(page.tab.evaluate("lightbox.editor.row.name"))
