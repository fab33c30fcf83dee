"""The page of the light box in a browser."""

from __future__ import annotations

import base64
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from boneseg.server.encoding import unpacked_mask

playwright = pytest.importorskip("playwright.sync_api", reason="needs playwright, of boneseg[dev]")


QUIET = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]


READY = "Boolean(window.lightbox && lightbox.editor.row && document.getElementById('busy').hidden)"


class Page:
    """A tab on the light box, which fails where the page says an error to the console.

    reader: the name under which masks are accepted; None: the page asks.
    """

    def __init__(self, browser: Any, address: str, reader: str | None = "", **how: Any) -> None:
        how = {"viewport": {"width": 1280, "height": 800}} | how
        self.context = browser.new_context(**how)
        if reader is not None:
            self.context.add_init_script(f"localStorage.setItem('reader', {reader!r})")
        self.tab = self.context.new_page()
        self.tab.set_default_timeout(60_000)
        self.asked: list[str] = []
        self.wrong: list[str] = []
        self.tab.on("request", lambda request: self.asked.append(request.url))
        self.tab.on("pageerror", lambda error: self.wrong.append(str(error)))
        self.tab.on("dialog", lambda dialog: dialog.accept())
        self.tab.goto(address)

    def wait(self, what: str | Callable[[], bool], seconds: float = 60) -> None:
        """Until a line of JavaScript is true: the page's policy forbids wait_for_function."""
        end = time.monotonic() + seconds
        while not (what() if callable(what) else self.tab.evaluate(what)):
            assert time.monotonic() < end, f"not so after {seconds} s: {what}"
            time.sleep(0.05)

    def ready(self, name: str | None = None) -> None:
        self.wait(READY if name is None else f"{READY} && lightbox.editor.row.name === '{name}'")

    def mask(self) -> np.ndarray:
        """The mask on the page, bool, height x width."""
        height, width, bits = self.tab.evaluate(
            """async () => {
                const { packBits } = await import("/static/raster.js");
                const { mask } = lightbox.editor;
                const bits = packBits(mask.values);
                const letters = Array.from(bits, (byte) => String.fromCharCode(byte));
                return [mask.height, mask.width, btoa(letters.join(""))];
            }"""
        )
        return unpacked_mask(base64.b64decode(bits), (height, width), "")

    def screen(self, x: float, y: float) -> tuple[float, float]:
        """Where a place of the film is in the window."""
        box = self.tab.locator("#marks").bounding_box()
        sx, sy, ratio = self.tab.evaluate(
            f"[...lightbox.view.toScreen({x}, {y}), lightbox.view.ratio]"
        )
        return box["x"] + sx / ratio, box["y"] + sy / ratio

    def drag(self, *places: tuple[float, float]) -> None:
        """The mouse from place to place of the film, its button held."""
        self.tab.mouse.move(*self.screen(*places[0]))
        self.tab.mouse.down()
        for place in places[1:]:
            self.tab.mouse.move(*self.screen(*place), steps=4)
        self.tab.mouse.up()

    def drop(self, path: Path) -> None:
        """Drop a file on the page, as a person does from a folder."""
        packed = base64.b64encode(path.read_bytes()).decode()
        self.tab.evaluate(
            """([packed, name]) => {
                const transfer = new DataTransfer();
                const bytes = Uint8Array.from(atob(packed), (letter) => letter.charCodeAt(0));
                transfer.items.add(new File([bytes], name));
                const how = { dataTransfer: transfer, bubbles: true, cancelable: true };
                for (const kind of ["dragenter", "dragover", "drop"])
                    document.body.dispatchEvent(new DragEvent(kind, how));
            }""",
            [packed, path.name],
        )

    def notifications(self) -> str:
        return self.tab.locator("#notifications").inner_text()

    def close(self) -> None:
        self.context.close()
        assert not self.wrong


def on_disk(folder: Path, name: str) -> np.ndarray:
    return np.asarray(Image.open(folder / "films" / "masks" / f"{name}.png")) > 0
