"""The mask as 8-bit PNG: 0 and 255, on the film's own grid."""

from __future__ import annotations

from pathlib import Path

from boneseg.masks import write_mask
from boneseg.writers import Reading


def write(path: Path, reading: Reading) -> None:
    """Write the mask. Raises OutputError."""
    write_mask(path, reading.finding.mask)
