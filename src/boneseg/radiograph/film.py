"""A radiograph in memory: its display values, its pixel spacing, and the limits on its size."""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from boneseg.errors import RadiographError
from boneseg.radiograph.grey import Grey

MAX_PIXELS = 100_000_000  # the largest stitched full-leg films have about 60 million
MAX_RATIO = 200  # of long to short side; stitched whole-body films reach 5
MIN_SIDE = 16  # pixels; too few to show a bone
MAX_BYTES = 2**30  # of a file; the largest film, of three 16-bit samples a pixel, has 600 MB
MAX_PACKED = 2**28  # bytes of a JPEG, WebP, GIF or JPEG 2000, which have 8 bits or are masks
MAX_PAGES = 1000  # of a TIFF that are counted; the time to find one grows with its number
MAX_SCANS = 256  # per JPEG; a progressive one has about ten, each a pass over the film
SPACINGS = (0.001, 10.0)  # mm; the range of detectors and film scanners

SpacingKind = Literal["user", "calibrated", "detector", "uncalibrated", "placeholder", "unknown"]
"""What a pixel spacing measures (DICOM PS3.3 10.7.1).

- user: given by the user, with `segment --spacing` or in a `calibration.csv`;
- calibrated: millimetres in the patient, corrected for magnification by geometry or a fiducial
  of known size;
- detector: millimetres on the detector or scanned film; the bone itself is smaller by the
  magnification, commonly 5 to 20 %;
- uncalibrated: the file does not say which of the two its spacing is;
- placeholder: the file's spacing is exactly 1 mm and it does not say that this was calibrated:
  programs write it where they know no spacing. `spacing_mm` is None;
- unknown: the file has no valid spacing, and `spacing_mm` is None.
"""
PLACEHOLDER = (
    "its pixel spacing of exactly 1 mm is a placeholder, so areas and lengths are in px; give the "
    "width of a pixel with segment --spacing MM or in calibration.csv"
)


@dataclass(frozen=True, eq=False)
class Radiograph:
    """A film as meant to be displayed.

    pixels: float32, height x width, in [0, 1], bone bright, upright. Of a film that was read, they
    are computed when first used: `grey` holds what the file stores.
    spacing_mm: (between rows, between columns) in mm, or None.
    aspect: the height of a pixel divided by its width; 1 for square pixels.
    frame: the number of the frame or page in the file, from 1.
    """

    pixels: NDArray[np.float32]
    spacing_mm: tuple[float, float] | None
    spacing_kind: SpacingKind  # what the spacing measures
    source: Path  # the file
    aspect: float = 1.0
    frame: int = 1
    grey: Grey = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "grey", Grey(self.pixels))

    @classmethod
    def stored(
        cls,
        grey: Grey,
        spacing_mm: tuple[float, float] | None,
        spacing_kind: SpacingKind,
        source: Path,
        aspect: float = 1.0,
        frame: int = 1,
    ) -> Radiograph:
        """A film whose pixels are computed when first used."""
        film = cls.__new__(cls)
        vars(film).update(
            grey=grey,
            spacing_mm=spacing_mm,
            spacing_kind=spacing_kind,
            source=source,
            aspect=aspect,
            frame=frame,
        )
        return film

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> object:
            if name != "pixels" or "grey" not in vars(self):
                raise AttributeError(name)
            vars(self)[name] = self.grey.pixels()
            return vars(self)[name]

    def calibrated(self, mm: float) -> Radiograph:
        """The film with the user's spacing: a pixel is `mm` wide, and `mm` times `aspect` high."""
        film = copy(self)
        vars(film).update(spacing_mm=(mm * self.aspect, mm), spacing_kind="user")
        return film

    def area_mm2(self, pixels: int) -> float | None:
        """The area of a number of pixels, mm² to 2 decimals; None where the spacing is unknown."""
        if self.spacing_mm is None:
            return None
        return round(pixels * self.spacing_mm[0] * self.spacing_mm[1], 2)

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width, px."""
        return self.grey.shape

    def __repr__(self) -> str:
        height, width = self.shape
        return f"Radiograph({height} x {width}, spacing {self.spacing_mm or 'unknown'})"

    def _repr_html_(self) -> str:
        from boneseg._util.drawing.html import figure, frame

        height, width = self.pixels.shape
        spacing = ""
        if self.spacing_mm:
            rows, columns = self.spacing_mm
            spacing = f", {rows:.3g} × {columns:.3g} mm a pixel ({self.spacing_kind})"
        return frame(figure(self.pixels, f"{height} × {width} px{spacing}"))


def check_size(path: Path, height: int, width: int) -> None:
    """Reject a film too small to show a bone, or too large for memory, before decoding.

    Reading MAX_PIXELS takes up to 2 GB (see docs/reference/dicom.md). Raises RadiographError.
    """
    if min(height, width) < MIN_SIDE:
        raise RadiographError(
            f"{path}: {height} x {width} pixels is too small; each side needs {MIN_SIDE} or more"
        )
    if max(height, width) > MAX_RATIO * min(height, width):
        raise RadiographError(
            f"{path}: {height} x {width} pixels is too elongated for a film (aspect ratio over "
            f"{MAX_RATIO}); give the original film"
        )
    if height * width > MAX_PIXELS:
        raise RadiographError(
            f"{path}: {height} x {width} pixels is over the limit of "
            f"{MAX_PIXELS // 10**6} million; downsample it"
        )


def check_bytes(path: Path | str, size: int, most: int = MAX_BYTES) -> None:
    """Reject a file of `size` bytes before it is read: some readers hold all of it, or a copy.

    Raises RadiographError.
    """
    if size > most:
        raise RadiographError(
            f"{path}: is a file of {-(-size >> 20)} MiB, over the limit of {most >> 20} MiB for "
            "its kind; export it again, alone in its file"
        )


def believed_spacing(sides: Sequence[float]) -> tuple[float, float] | None:
    """A spacing (of rows, of columns) in mm; None unless it is a pair within `SPACINGS`.

    >>> believed_spacing((0.2, 0.1)), believed_spacing((1e200, 0.1)), believed_spacing((0.2,))
    ((0.2, 0.1), None, None)
    """
    if len(sides) != 2 or not all(SPACINGS[0] <= side <= SPACINGS[1] for side in sides):
        return None
    return float(sides[0]), float(sides[1])


def pick_frame(path: Path, count: int, frame: int | None) -> int:
    """The index (from 0) of the frame to read, of a file that holds `count`.

    Raises RadiographError if there is no such frame.
    """
    if frame is None and count > 1:
        raise RadiographError(
            f"{path}: holds {count} frames; choose one with segment --frame N, 1 to {count}"
        )
    if frame is not None and frame > count:
        raise RadiographError(f"{path}: has no frame {frame}; it holds {count}")
    return (frame or 1) - 1
