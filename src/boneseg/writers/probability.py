"""The probability of bone as 16-bit PNG: 0 to 65535 for 0 to 1, on the film's own grid."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from boneseg.masks import save_png
from boneseg.writers import Reading


def write(path: Path, reading: Reading) -> None:
    """Write the probability, in steps of 1/65535. Raises OutputError."""
    levels = np.rint(reading.finding.probability * 65535).astype(np.uint16)
    save_png(path, Image.fromarray(levels))
