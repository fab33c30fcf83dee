"""What every inference backend provides."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from boneseg.errors import BundleError
from boneseg.preprocessing import Floats

KEPT = 8  # networks kept ready in memory, for inputs of one shape or of any

ANY = -1  # in a shape: a length that a network takes whatever it is

Shape = tuple[int, ...]


class Backend(Protocol):
    """A network ready for inference.

    any_size: whether inputs of a new size need no preparation that takes long.
    """

    any_size: bool

    @property
    def name(self) -> str:
        """As shown to the user."""

    def __call__(self, films: Floats) -> Floats:
        """Map float32 N x C x H x W to probabilities, float32 N x K x H x W.

        Of bone, from each member of an ensemble or from the network that finds outlines, or of
        each bone that has a name.
        """

    def prepare(self, shape: Shape) -> None:
        """Prepare for inputs of this shape. Raises BundleError if that fails."""


def cannot_run(file: Path, who: str, shape: Shape | None) -> BundleError:
    """The error for a network file that a backend cannot run (at inputs of `shape`)."""
    at = f" at {shape[2]} x {shape[3]}" if shape and ANY not in shape else ""
    problem = f"{who} cannot run its {file.name}{at}"
    return BundleError(f"{file.parent}: {problem}; copy the bundle again")
