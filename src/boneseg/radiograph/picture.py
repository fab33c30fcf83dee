"""Read a film that is a picture: PNG, JPEG, TIFF, BMP or WebP (called by `read_radiograph`).

`radiograph/greyscale.py` defines the conversion to grey; transparent images are composited on
black.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from boneseg.errors import BonesegError, RadiographError
from boneseg.radiograph.film import MAX_PAGES, MAX_PIXELS, check_size, pick_frame
from boneseg.radiograph.grey import Grey
from boneseg.radiograph.greyscale import blocks, graded, grey_of, to_unit
from boneseg.radiograph.pillow import (
    check_scans,
    counted_frames,
    deep_colours,
    grey_values,
    is_white_zero,
    open_image,
)
from boneseg.radiograph.png import check_rows
from boneseg.radiograph.sniff import is_tiff

FORMATS = ("PNG", "JPEG", "TIFF", "BMP", "WEBP")  # explicit, so that no EPS starts Ghostscript
FORMAT_NAMES = "PNG, JPEG, TIFF, BMP, WebP or DICOM"  # in messages


def read_picture(path: Path, frame: int | None) -> Grey:
    """The grey values of a picture, or of one of its frames, upright.

    Raises RadiographError, OSError for a file that cannot be opened, and MemoryError.
    """
    try:
        # an open file: Pillow 13 scrambles rotated TIFFs that it memory-maps itself
        with path.open("rb") as file, open_image(file, FORMATS) as image:
            image.seek(_index(image, path, frame))
            check_size(path, image.height, image.width)
            check_scans(image, path)
            negative = is_white_zero(image)
            deep = deep_colours(image, path, image.tell())
            image.load()
            check_rows(image, path)
            grey = _grey_of(image, path) if deep is None else _on_black(deep, path)
            stored = _upright(grey.stored, image.getexif().get(0x0112, 1))
    except (BonesegError, MemoryError):
        raise
    except Image.DecompressionBombError:
        raise RadiographError(
            f"{path}: is over the limit of {MAX_PIXELS // 10**6} million pixels; downsample it"
        ) from None
    except UnidentifiedImageError:
        tiff = "is an unsupported or truncated TIFF; save it as an 8- or 16-bit PNG"
        none = f"is not a readable image; give {FORMAT_NAMES}"
        raise RadiographError(f"{path}: {tiff if is_tiff(path) else none}") from None
    except Exception:  # decoders raise almost any error on damaged files
        raise RadiographError(
            f"{path}: is damaged or truncated; copy it again, or export it as PNG"
        ) from None
    upright = replace(grey, stored=np.ascontiguousarray(stored))
    return upright.inverted() if negative else upright


def _index(image: Image.Image, path: Path, frame: int | None) -> int:
    """The index (from 0) of the frame to read. Raises RadiographError."""
    count = counted_frames(image)
    if count > MAX_PAGES and not 1 <= (frame or 0) <= MAX_PAGES:
        raise RadiographError(
            f"{path}: holds more than {MAX_PAGES} frames; choose one of the first {MAX_PAGES} with "
            "segment --frame N, or save the one you need alone"
        )
    return pick_frame(path, count, frame)


def _grey_of(image: Image.Image, path: Path) -> Grey:
    if image.mode in ("1", "I", "F") or image.mode.startswith("I;16"):
        return graded(grey_values(image))
    if image.has_transparency_data:
        ground = Image.new("RGBA", image.size, (0, 0, 0, 255))
        ground.alpha_composite(image.convert("RGBA"))
        return Grey(grey_of(np.asarray(ground)[..., :3], path))
    if image.mode == "L":
        return graded(grey_values(image))
    return Grey(grey_of(np.asarray(image.convert("RGB")), path))


def _on_black(bands: NDArray[np.uint16], path: Path) -> Grey:
    """Composite 16-bit grey or RGB, height x width x channels (alpha last, if any), on black."""
    colours = bands if bands.shape[2] % 2 else bands[..., :-1]
    if colours is not bands:
        opacity = to_unit(bands[..., -1:])
        for rows in blocks(bands):
            colours[rows] = np.rint(colours[rows] * opacity[rows])
    return Grey(grey_of(colours, path)) if colours.shape[2] == 3 else graded(colours[..., 0])


def _upright(pixels: NDArray[np.generic], orientation: int) -> NDArray[np.generic]:
    """Rotate or flip an image upright by its EXIF orientation (CIPA DC-008, tag 0x0112)."""
    if orientation in (5, 6, 7, 8):
        pixels = pixels.T
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    return pixels
