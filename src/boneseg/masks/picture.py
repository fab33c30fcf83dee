"""Read masks that are pictures, without guessing.

    mask = read_picture(Path("masks/knee.png"), shape=(1024, 512))

What counts as bone:

    one value and 0           0/255, 0/1, 0/65535, any {0, x}, 1-bit: everything but 0
    grey edges                at least 99 % of the pixels within 32 of 0 or 255 (or the same of
                              65535), and grey can only be an edge, not a class: 128 and more
    one colour and black      the colour
    2 to 8 colours and black  all of them, one for each bone; each channel must be a level that
                              colour tables use (0, 64, 128, 192, 255), so that blurred edges do not
                              count
    a colour and a grey       the colour; the grey is the background

A colour table (palette) is interpreted by its colours, and transparent pixels are black. One colour
that is more or less opaque (a soft brush) counts as grey, by its opacity. Everything else is
ambiguous, and is refused with the values that were found.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from boneseg._util.quiet import quiet
from boneseg.errors import MaskError, RadiographError
from boneseg.masks.types import MaskSizeError
from boneseg.radiograph.film import MAX_PIXELS
from boneseg.radiograph.pillow import check_scans, deep_colours, is_white_zero, open_image
from boneseg.radiograph.png import check_rows

# A list, so that no EPS starts Ghostscript.
FORMATS = ("PNG", "JPEG", "TIFF", "BMP", "GIF", "WEBP", "PPM", "JPEG2000")
_NEAR = 32  # grey levels of 255 that ringing and smoothing may stray from black or white
_BIMODAL = 0.99
_MAX_COLOURS = 8
_TABLE_LEVELS = (0, 63, 64, 127, 128, 191, 192, 255)
_ADVICE = "save it as 8-bit PNG with 0 = background and 255 = bone"


class UnclearMaskError(MaskError):
    """The file can be decoded, but its values are ambiguous."""


def read_picture(
    path: Path, shape: tuple[int, int] | None = None, *, formats: tuple[str, ...] = FORMATS
) -> NDArray[np.bool_]:
    """Read a mask that is a picture in one of `formats` (Pillow's names), whatever its suffix.

    Returns and raises as `read.read_mask`. A size other than `shape` is refused from the header.
    """
    with quiet():
        image, negative = _decode(path, shape, formats)
    size = (image.height, image.width)
    if shape is not None and size != tuple(shape):
        raise MaskSizeError(path, size, shape)
    bone = _bone_of(image, path)
    return ~bone if negative else bone


def _decode(
    path: Path, shape: tuple[int, int] | None, formats: tuple[str, ...]
) -> tuple[Image.Image, bool]:
    """A picture, upright, and whether its 0 means white."""
    try:
        # Pillow 13 scrambles a rotated, uncompressed TIFF that it memory-maps itself.
        with path.open("rb") as file, open_image(file, formats) as image:
            if image.width * image.height > MAX_PIXELS:
                raise MaskError(
                    f"{path}: {image.height} x {image.width} pixels are more than the "
                    f"{MAX_PIXELS} that a mask may have; is it a mask?"
                )
            if shape is not None and sorted(image.size) != sorted(shape):  # EXIF may rotate it
                raise MaskSizeError(path, (image.height, image.width), shape)
            if getattr(image, "is_animated", False):  # `n_frames` would read all of them
                raise MaskError(f"{path}: holds several images; save the mask alone, as PNG")
            if image.mode in ("LAB", "HSV"):
                raise MaskError(f"{path}: is a {image.mode} image; {_ADVICE}")
            check_scans(image, path)
            negative = is_white_zero(image)
            deep = deep_colours(image, path, 0)
            image.load()
            check_rows(image, path)
            if deep is not None:
                _keep_low_values(image, deep)
            return ImageOps.exif_transpose(image), negative
    except MaskError:
        raise
    except RadiographError as error:  # of `deep_colours`
        raise MaskError(str(error)) from None
    except MemoryError:
        raise MaskError(f"{path}: there is not enough memory to read it; is it a mask?") from None
    except FileNotFoundError:
        raise MaskError(f"{path}: there is no such file; check the name") from None
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise MaskError(f"{path}: has too many pixels for a mask; is it a mask?") from None
    except Exception as error:  # decoders raise almost any error on damaged files
        reason = f"{error.strerror}; " if isinstance(error, OSError) and error.strerror else ""
        raise MaskError(f"{path}: cannot be read as an image; {reason}save it as PNG") from None


def _keep_low_values(image: Image.Image, deep: NDArray[np.uint16]) -> None:
    """Replace the colours of a picture by its 16-bit ones where none of these is over 255."""
    colours = deep if deep.shape[2] % 2 else deep[..., :-1]
    if colours.max() <= 255:
        bands = np.array(image)
        bands[..., :3] = colours
        image.paste(Image.fromarray(bands))


def _bone_of(image: Image.Image, path: Path) -> NDArray[np.bool_]:
    if image.mode in ("P", "PA"):
        return _from_palette(image, path)
    if image.mode in ("1", "L") and "transparency" in image.info:
        return _from_colours(_flatten(image, path), path)
    values = np.asarray(image)
    if values.dtype == np.bool_:
        return values.copy()
    if values.ndim == 2:
        return _from_grey(values, path)
    return _from_colours(_flatten(image, path), path)


def _from_grey(values: NDArray[np.number], path: Path) -> NDArray[np.bool_]:
    if values.dtype.kind == "f" and not np.isfinite(values).all():
        raise UnclearMaskError(f"{path}: holds non-finite values; {_ADVICE}")
    levels, counts = _levels(values)
    found = [float(level) for level in levels]
    if found[0] < 0:
        raise _unclear(path, found)
    scale = 255 if found[-1] <= 255 else 65535
    if len(found) == 1:
        clear, lowest = found[0] in (0, 1, 255, 65535), 1.0
    elif len(found) == 2:
        clear, lowest = found[0] == 0, found[1]
    else:
        clear, lowest = _is_smoothed(levels * (255 / scale), counts), 128 * scale / 255
    if not clear:
        raise _unclear(path, found)
    bone: NDArray[np.bool_] = values >= lowest
    return bone


def _levels(values: NDArray[np.number]) -> tuple[NDArray[np.number], NDArray[np.int64]]:
    """The distinct values, ascending, and their counts."""
    if values.dtype in (np.dtype(np.uint8), np.dtype(np.uint16)):  # np.unique sorts: slow
        counts = np.bincount(values.ravel())
        levels = np.flatnonzero(counts)
        return levels, counts[levels]
    return np.unique(values, return_counts=True)


def _is_smoothed(levels: NDArray[np.number], counts: NDArray[np.int64]) -> bool:
    """Whether grey levels on the 0..255 scale are black and white with soft or ringing edges.

    Few levels are classes, as are small ones with only an "ignore" at 255: only values between the
    extremes, or several near white, show that the grey came from smoothing. Four levels are enough
    if two are near each extreme, as JPEG of the best quality leaves them.
    """
    black, white = levels <= _NEAR, levels >= 255 - _NEAR
    if levels[-1] > 255 or not (black.any() and white.any()):
        return False
    if len(levels) < 5 and not (black.sum() == white.sum() == 2):
        return False
    softened = ((levels > 64) & (levels < 192)).any() or white.sum() > 1
    return bool(softened and counts[black | white].sum() >= _BIMODAL * counts.sum())


def _from_palette(image: Image.Image, path: Path) -> NDArray[np.bool_]:
    colours = _flatten(image, path)
    if image.mode == "P":
        used = len(np.unique(np.asarray(image)))
        if used > 1 and len(np.unique(_packed(colours))) < 2:
            raise UnclearMaskError(
                f"{path}: its colour table shows {used} values in the same colour; {_ADVICE}"
            )
    return _from_colours(colours, path)


def _flatten(image: Image.Image, path: Path) -> NDArray[np.uint8]:
    """RGB, height x width x 3, with transparent pixels black.

    One colour of several opacities is a soft brush: its opacity becomes the grey.
    """
    transparent = image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info
    if not transparent:
        return np.asarray(image.convert("RGB"))
    rgba = np.asarray(image.convert("RGBA"))
    seen = rgba[..., 3] > 0
    if not seen.all() and seen.any() and not rgba[seen, :3].any():
        raise UnclearMaskError(f"{path}: is black on transparent; {_ADVICE}")
    if _is_soft(rgba):
        return np.repeat(rgba[..., 3:], 3, axis=2)
    return np.where(seen[..., None], rgba[..., :3], np.uint8(0))


def _is_soft(rgba: NDArray[np.uint8]) -> bool:
    """Whether the visible pixels have one colour other than black, but several opacities."""
    alpha = rgba[..., 3]
    seen = alpha > 0
    if not (seen & (alpha < alpha.max())).any():
        return False
    colours = rgba[seen, :3]
    return bool(colours[0].any() and (colours == colours[0]).all())


def _packed(colours: NDArray[np.uint8]) -> NDArray[np.int64]:
    red, green, blue = (colours[..., channel].astype(np.int64) for channel in range(3))
    return red << 16 | green << 8 | blue


def _from_colours(colours: NDArray[np.uint8], path: Path) -> NDArray[np.bool_]:
    red, green, blue = (colours[..., channel] for channel in range(3))
    if np.array_equal(red, green) and np.array_equal(green, blue):
        return _from_grey(red, path)
    packed = _packed(colours)
    found = [(c >> 16, c >> 8 & 255, c & 255) for c in np.unique(packed).tolist()]
    background = _background(found)
    if background is None:
        raise _unclear(path, found)
    bone: NDArray[np.bool_] = (colours != np.array(background, np.uint8)).any(axis=-1)
    return bone


def _background(found: Sequence[tuple[int, int, int]]) -> tuple[int, int, int] | None:
    """The colour that is not bone; None if several could be."""
    black = (0, 0, 0)
    if black in found:
        pure = all(level in _TABLE_LEVELS for colour in found for level in colour)
        return black if len(found) == 2 or (pure and len(found) <= 1 + _MAX_COLOURS) else None
    greys = [colour for colour in found if len(set(colour)) == 1]
    return greys[0] if len(found) == 2 and len(greys) == 1 else None


def _unclear(path: Path, found: Sequence[float | tuple[int, int, int]]) -> UnclearMaskError:
    kind = "colours" if isinstance(found[0], tuple) else "values"
    shown = [f"{value:g}" if isinstance(value, float) else str(value) for value in found]
    listed = ", ".join(shown if len(shown) <= 6 else [*shown[:3], "...", shown[-1]])
    count = f"{len(shown)} {kind}" if len(shown) > 1 else f"only the {kind[:-1]}"
    return UnclearMaskError(f"{path}: holds {count} ({listed}), unclear which is bone; {_ADVICE}")
