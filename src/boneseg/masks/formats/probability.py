"""The probability of bone as 16-bit PNG: 0 to 65535 for 0 to 1, on the film's own grid."""

from __future__ import annotations

from pathlib import Path

from boneseg.masks.read import write_probability
from boneseg.masks.segmentation import Segmentation


def write(path: Path, segmentation: Segmentation) -> None:
    """Write the probability, in steps of 1/65535. Raises OutputError."""
    assert segmentation.probability is not None  # `Format.drawn`
    write_probability(path, segmentation.probability)
