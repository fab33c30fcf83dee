"""Draw docs/images/light-box.png: a simulated foot on the light box, in the middle of a correction.

    python -m scripts.light_box_picture

Needs Chromium, and playwright of the extra `dev`.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page, sync_playwright

from boneseg.bundle.shipped import sample_films

OUT = Path(__file__).resolve().parent.parent / "docs" / "images" / "light-box.png"
READY = "Boolean(lightbox.editor.row?.name === 'foot' && document.getElementById('busy').hidden)"
ERASED = ((138, 104), (156, 120)), ((192, 126), (192, 130))  # px of the film
ADDED = (168, 207), (200, 200), (212, 228), (192, 249), (165, 238)


@contextmanager
def light_box(folder: Path) -> Iterator[str]:
    """The address of a light box on a folder."""
    words = [sys.executable, "-m", "boneseg", "serve", "--port", "0", "--data", str(folder)]
    with subprocess.Popen(words, stderr=subprocess.PIPE, text=True) as server:
        try:
            assert server.stderr is not None
            yield server.stderr.readline().rpartition(" ")[2].strip()
        finally:
            server.terminate()


def wait(page: Page, script: str) -> None:
    while not page.evaluate(script):  # the page's policy forbids wait_for_function
        time.sleep(0.1)


def place(page: Page, x: float, y: float) -> tuple[float, float]:
    """Where a place of the film is in the window."""
    box = page.locator("#marks").bounding_box()
    assert box is not None
    at = page.evaluate(f"lightbox.view.toScreen({x}, {y}).map((s) => s / lightbox.view.ratio)")
    return box["x"] + at[0], box["y"] + at[1]


def correct(page: Page) -> None:
    """Erase along two lines, add a polygon, and compare with the suggestion."""
    page.keyboard.press("e")
    for start, end in ERASED:
        page.mouse.move(*place(page, *start))
        page.mouse.down()
        page.mouse.move(*place(page, *end), steps=8)
        page.mouse.up()
    page.keyboard.press("p")
    for corner in ADDED:
        page.mouse.click(*place(page, *corner))
    page.keyboard.press("Enter")
    page.keyboard.press("c")


def main() -> None:
    with tempfile.TemporaryDirectory() as top, sync_playwright() as driver:
        films = Path(top) / "films"
        shutil.copytree(sample_films(), films / "images", ignore=shutil.ignore_patterns("*.md"))
        with light_box(films) as address:
            chromium = os.environ.get("CHROMIUM", shutil.which("chromium"))
            browser = driver.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
            page = browser.new_page(
                viewport={"width": 1360, "height": 850},
                color_scheme="dark",
                reduced_motion="reduce",
            )
            page.goto(address)
            wait(page, "Boolean(window.lightbox?.list.rows.length)")
            wait(page, "lightbox.list.rows.every((row) => row.trust !== null)")
            page.locator("#films .name", has_text="foot").click()
            wait(page, READY)
            correct(page)
            page.screenshot(path=OUT)
            browser.close()
    Image.open(OUT).convert("RGB").quantize(256, dither=Image.Dither.NONE).save(OUT, optimize=True)


if __name__ == "__main__":
    main()
