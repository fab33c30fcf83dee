"""The probability of bone as 16-bit PNG: 0 to 65535 for 0 to 1, on the film's own grid."""

from __future__ import annotations

from pathlib import Path

from boneseg.masks import write_probability
from boneseg.writers import Reading


def write(path: Path, reading: Reading) -> None:
    """Write the probability, in steps of 1/65535. Raises OutputError."""
    write_probability(path, reading.finding.probability)
