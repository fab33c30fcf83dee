"""A real browser, to look at pages with: Debian's chromium, headless and without a network."""

from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tests.support.requirements import CHROMIUM

QUIET = ("--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-sync")
QUIET += ("--disable-background-networking", "--disable-component-update", "--hide-scrollbars")


def browse(page: Path, *words: str) -> str:
    """Open a page with these options; what the browser prints."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        call = [str(CHROMIUM), *QUIET, f"--user-data-dir={profile}", *words]
        call.append(page.absolute().as_uri())
        done = subprocess.run(call, check=True, capture_output=True, text=True, timeout=180)
    return done.stdout


def picture(page: Path, folder: Path, *words: str) -> NDArray[np.uint8]:
    """What a page looks like: uint8 height x width x 3."""
    shot = folder / "page.png"
    browse(page, "--window-size=1000,1600", *words, f"--screenshot={shot}")
    return np.array(Image.open(shot).convert("RGB"))
