"""The light box's page: frame rate on 4000 x 5000 pixels, and time until a mask is displayed.

    python -m benchmarks.serving.light_box_frames

A mouse drags in Debian's chromium, without a graphics card; the page tells the time between its
frames (requestAnimationFrame). 16.7 ms is a screen of 60 Hz, and no frame missed. The film is a
sample film, enlarged.
"""

from __future__ import annotations

import base64
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from playwright.sync_api import sync_playwright

from boneseg.bundle.shipped import sample_films

COMMAND = [sys.executable, "-c", "from boneseg.cli import main; main()", "serve", "--port", "0"]
FILM = sample_films() / "hand.png"
LARGE = (4000, 5000)
SCREENS = ((1280, 800), (1920, 1080))
WATCH = """() => {
    const gaps = (window.gaps = []);
    let last = null;
    requestAnimationFrame(function frame(now) {
        if (window.gaps !== gaps) return;
        if (last !== null) gaps.push(now - last);
        last = now;
        requestAnimationFrame(frame);
    });
}"""
DROP = """async ([packed, name]) => {
    const bytes = Uint8Array.from(atob(packed), (letter) => letter.charCodeAt(0));
    const transfer = new DataTransfer();
    transfer.items.add(new File([bytes], name + ".png"));
    const started = performance.now();
    dispatchEvent(new DragEvent("drop", { dataTransfer: transfer, cancelable: true }));
    const busy = document.getElementById("busy");
    while (lightbox.editor.row?.name !== name || !busy.hidden)
        await new Promise(requestAnimationFrame);
    await new Promise(requestAnimationFrame);
    return performance.now() - started;
}"""


def drop(tab: Any, path: Path) -> float:
    """Seconds from dropping a film on the page to its mask on the screen."""
    packed = base64.b64encode(path.read_bytes()).decode()
    return float(tab.evaluate(DROP, [packed, path.stem])) / 1000


def measure(tab: Any, name: str, act: Callable[[], None]) -> None:
    """Print the times between frames while something is done."""
    tab.evaluate(WATCH)
    act()
    gaps = tab.evaluate("() => { const { gaps } = window; window.gaps = null; return gaps; }")
    p50, p95, most = np.percentile(gaps, (50, 95, 100))
    print(f"  {name:18} p50 {p50:5.1f}  p95 {p95:5.1f}  max {most:5.1f} ms ({len(gaps)} frames)")


def gestures(tab: Any) -> None:
    """The actions of a user on a film, one after the other."""
    box = tab.locator("#marks").bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    slider = tab.locator("#level").bounding_box()
    along = slider["y"] + slider["height"] / 2

    def drag(*places: tuple[float, float]) -> None:
        tab.mouse.move(*places[0])
        tab.mouse.down()
        for place in places[1:]:
            tab.mouse.move(*place, steps=60)
        tab.mouse.up()

    def wheel() -> None:
        tab.mouse.move(x, y)
        for _ in range(40):
            tab.mouse.wheel(0, -60)

    def press(*keys: str) -> None:
        for key in keys:
            tab.keyboard.press(key)

    across = ((x, y), (x - 150, y - 120))
    press("h")
    measure(tab, "pan, whole film", lambda: drag(*across))
    press("1")
    measure(tab, "pan, 1:1", lambda: drag(*across))
    press("0")
    measure(tab, "zoom", wheel)
    press("0", "w")
    measure(tab, "window and level", lambda: drag(*across))
    press("q", "b")
    tab.evaluate("lightbox.tools.resizeBrush(80)")
    measure(tab, "brush, whole film", lambda: drag(*across))
    press("1")
    measure(tab, "brush, 1:1", lambda: drag(*across))
    press("0")
    places = [(slider["x"] + slider["width"] * share, along) for share in (0.5, 0.8, 0.2)]
    measure(tab, "threshold", lambda: drag(*places))


def main() -> None:
    chromium = shutil.which("chromium")
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as driver:
        film = Image.open(FILM).convert("L")
        small, large = Path(folder) / "small.png", Path(folder) / "large.png"
        film.resize((512, 512), Image.Resampling.BICUBIC).save(small)
        film.resize(LARGE, Image.Resampling.BICUBIC).save(large)
        browser = driver.chromium.launch(
            executable_path=chromium, args=["--no-sandbox", "--disable-gpu"]
        )
        for width, height in SCREENS:
            with subprocess.Popen(COMMAND, stderr=subprocess.PIPE, text=True) as server:
                assert server.stderr is not None
                address = server.stderr.readline().partition("the light box: ")[2].strip()
                tab = browser.new_page(viewport={"width": width, "height": height})
                tab.goto(address)
                tab.wait_for_selector("#empty:not([hidden])")
                print(
                    f"{width} x {height}, drop to mask: 512 x 512 {drop(tab, small):.2f} s", end=""
                )
                print(f", {LARGE[0]} x {LARGE[1]} {drop(tab, large):.2f} s")
                gestures(tab)
                tab.close()
                server.terminate()
        browser.close()


if __name__ == "__main__":
    main()
