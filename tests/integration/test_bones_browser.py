"""The names of bones on the light box, in a real browser."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from boneseg.bundle.store import Bundle
from tests.support.light_box_page import Page
from tests.support.lightbox import served
from tests.support.named_bones import knee
from tests.support.requirements import needs_browser

pytestmark = needs_browser

DRAWN = """(() => {
    const canvas = document.getElementById("bones");
    const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
    return data.reduce((sum, value, i) => sum + (i % 4 === 3 && value > 0), 0);
})()"""

# Whether a long name and its area are within their line of the legend.
HELD = """(() => {
    const line = document.querySelector("#bones-legend li").cloneNode(true);
    line.childNodes[1].textContent = "cervical spine";
    line.querySelector("span").textContent = "1234567 mm²";
    document.getElementById("bones-legend").append(line);
    const bottom = (one) => one.getBoundingClientRect().bottom;
    const held = bottom(line.querySelector("span")) <= bottom(line) + 1;
    line.remove();
    return held;
})()"""

# Whether there is bone in the middle of the tibia and of the femur.
ROWS = """[100, 20].map((y) => Boolean(lightbox.editor.mask.values[y * 120 + 60] & 1))"""


def test_a_switch_shows_the_bones_in_colours_with_a_legend(
    browser: Any, named_bundle: Bundle, tmp_path: Path
) -> None:
    (tmp_path / "images").mkdir()
    for number in range(2):
        film, _, _ = knee(np.random.default_rng(number), 120, 120)
        Image.fromarray((film * 255).astype(np.uint8)).save(tmp_path / f"images/{number}.png")
    with served("--data", tmp_path, "--model", named_bundle.path) as address:
        page = Page(browser, address)
        page.ready()
        assert page.tab.evaluate(DRAWN) == 0
        page.tab.check("#show-bones")
        page.wait("document.querySelectorAll('#bones-legend i').length === 2")
        lines = page.tab.locator("#bones-legend li").all_inner_texts()
        assert [line.split()[0] for line in lines] == ["femur", "tibia"]
        assert page.tab.evaluate(HELD)
        page.wait(f"{DRAWN} > 100")
        outlines = page.tab.evaluate(DRAWN)
        page.tab.hover("#bones-legend li")
        page.wait(f"{DRAWN} > {2 * outlines}")  # the bone is filled
        page.tab.keyboard.press("g")  # the bones touch, but one of them can be removed by its name
        page.tab.mouse.click(*page.screen(60, 20))
        assert page.tab.evaluate(ROWS) == [True, False]
        page.tab.mouse.click(*page.screen(60, 20))
        assert page.tab.evaluate(ROWS) == [True, True]
        page.tab.keyboard.press("z")
        page.tab.keyboard.press("z")
        page.tab.keyboard.press("PageDown")  # the other film has bones of its own
        page.wait("document.querySelectorAll('#bones-legend i').length === 2")
        page.tab.uncheck("#show-bones")
        page.wait(f"{DRAWN} === 0")
        assert page.tab.inner_text("#bones-legend") == "" and not page.wrong
        page.close()
