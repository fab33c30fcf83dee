"""Read any radiograph as one array: grey in [0, 1], bone bright, upright.

    film = read_radiograph(Path("knee.dcm"))
    film.pixels       # float32, height x width
    film.spacing_mm   # (row, column) or None

PNG, JPEG, TIFF, BMP and WebP are read here, DICOM in `radiograph/dicom/read.py`, which is imported
for the first DICOM file. `radiograph/greyscale.py` defines the conversion to grey; transparent
images are composited on black.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Container, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from boneseg._util.files import LAYOUTS, real_path, same_place
from boneseg.errors import BonesegError, RadiographError, UsageError
from boneseg.radiograph.greyscale import blocks, grey_of, to_unit
from boneseg.radiograph.pillow import check_scans, deep_colours, grey_values, is_tiff, is_white_zero
from boneseg.radiograph.provenance import REPORTS, is_result, listed_results

MAX_PIXELS = 100_000_000  # the largest stitched full-leg films have about 60 million
MAX_RATIO = 200  # of long to short side; stitched whole-body films reach 5
MIN_SIDE = 16  # pixels; too few to show a bone
SPACINGS = (0.001, 10.0)  # mm; the range of detectors and film scanners
SUFFIXES = frozenset(
    (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".webp", ".dcm", ".dicom", ".dic")
)

FORMATS = ("PNG", "JPEG", "TIFF", "BMP", "WEBP")  # explicit, so that no EPS starts Ghostscript
_PICTURE_MARKS = (
    *(b"\x89PNG", b"\xff\xd8\xff", b"BM", b"RIFF"),
    *(b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"),  # TIFF, and BigTIFF
)
_FORMAT_WORDS = "PNG, JPEG, TIFF, BMP, WebP or DICOM"

# Pillow warns about the size, which is checked here, and about broken EXIF, which is irrelevant.
warnings.filterwarnings("ignore", module=r"PIL\.")

SpacingKind = Literal["calibrated", "detector", "uncalibrated", "unknown"]
"""What a pixel spacing measures (DICOM PS3.3 10.7.1).

- calibrated: millimetres in the patient, corrected for magnification by geometry or a fiducial
  of known size;
- detector: millimetres on the detector or scanned film; the bone itself is smaller by the
  magnification, commonly 5 to 20 %;
- uncalibrated: the file does not say which of the two its spacing is;
- unknown: the file has no valid spacing, and `spacing_mm` is None.
"""


@dataclass(frozen=True, eq=False)
class Radiograph:
    """A film as meant to be displayed.

    pixels: float32, height x width, in [0, 1], bone bright, upright.
    spacing_mm: (between rows, between columns) in mm, or None.
    aspect: the height of a pixel divided by its width; 1 for square pixels.
    frame: the number of the frame or page in the file, from 1.
    """

    pixels: NDArray[np.float32]
    spacing_mm: tuple[float, float] | None
    spacing_kind: SpacingKind
    source: Path
    aspect: float = 1.0
    frame: int = 1

    def __repr__(self) -> str:
        height, width = self.pixels.shape
        return f"Radiograph({height} x {width}, spacing {self.spacing_mm or 'unknown'})"

    def _repr_html_(self) -> str:
        from boneseg.drawing.html import figure, frame

        height, width = self.pixels.shape
        spacing = ""
        if self.spacing_mm:
            rows, columns = self.spacing_mm
            spacing = f", {rows:.3g} × {columns:.3g} mm a pixel ({self.spacing_kind})"
        return frame(figure(self.pixels, f"{height} × {width} px{spacing}"))


def read_radiograph(
    path: Path | str,
    *,
    invert: bool = False,
    frame: int | None = None,
    keep_names: bool = False,
) -> Radiograph:
    """Read one film; the format is recognised by content, not by name.

    `invert` is for films with dark bone. `frame` (from 1) selects one of several frames or pages.
    The DPI of plain images is not trusted: their spacing is unknown. In errors a DICOM file name
    that identifies the patient is replaced by a hash, unless `keep_names`. Raises RadiographError
    if the file is not a readable radiograph, UsageError if `frame` is below 1.
    """
    path = Path(path)
    if frame is not None and frame < 1:
        raise UsageError(f"--frame {frame}: frames are counted from 1")
    try:
        _check_file(path)
        if is_dicom(path):
            from boneseg.radiograph.dicom.read import read_dicom

            return read_dicom(path, invert=invert, frame=frame, keep_names=keep_names)
        pixels = _read_picture(path, frame)
    except BonesegError:
        raise
    except OSError as error:
        reason = error.strerror or "I/O error"
        raise RadiographError(
            f"{_public(path, keep_names)}: cannot be opened ({reason}); check the file"
        ) from None
    except MemoryError:
        raise RadiographError(
            f"{_public(path, keep_names)}: there is not enough memory to read it"
        ) from None
    return Radiograph(1 - pixels if invert else pixels, None, "unknown", path, frame=frame or 1)


def _public(path: Path, keep_names: bool) -> Path:
    from boneseg.radiograph.privacy import public_path  # which imports this module

    return public_path(path, keep_names=keep_names)


def find_radiographs(inputs: Sequence[Path], out: Path | None = None) -> list[Path]:
    """List the films in `inputs`: files as given, folders searched recursively, in sorted order.

    In folders a film is recognised by its suffix, or by the DICM mark if the suffix is unknown.
    Skipped are hidden files and folders, masks/ beside images/, the index file DICOMDIR, the
    folder `out`, and results of earlier runs (`radiograph/provenance.py`). Links are followed. A
    film given more than once, by any path, is listed once. A folder that cannot be searched, or
    has no film, is listed itself, so that reading it gives the reason and the others are read.
    Raises UsageError for a path that does not exist, RadiographError if there is no film at all.
    """
    found: dict[Path, Path] = {}  # by resolved path
    for path in map(Path, inputs):
        if path.is_dir():
            films = _search(path, out) or [path]
        elif path.exists():
            films = [path]
        else:
            raise UsageError(f"{path}: there is no such file or folder; check the name")
        for film in films:
            found.setdefault(real_path(film), film)
    films = list(found.values())
    if films and all(map(Path.is_dir, films)):  # no film to continue with
        _check_file(films[0])
    return films


def is_dicom(path: Path) -> bool:
    """Whether a file has the DICM mark, or a DICOM suffix and no image mark. Raises OSError."""
    if path.suffix.lower() not in (".dcm", ".dicom", ".dic"):
        return looks_like_dicom(path)
    with path.open("rb") as file:
        return looks_like_dicom(path) or not file.read(8).startswith(_PICTURE_MARKS)


def looks_like_dicom(path: Path) -> bool:
    """Whether the file has the DICM mark (PS3.10 7.1). Raises OSError."""
    with path.open("rb") as file:
        return file.read(132)[128:] == b"DICM"


def check_size(path: Path, height: int, width: int) -> None:
    """Reject a film too small to show a bone, or too large for memory, before decoding.

    Reading MAX_PIXELS takes up to 2 GB (measured in docs/dicom.md). Raises RadiographError.
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


def believed_spacing(sides: Sequence[float]) -> tuple[float, float] | None:
    """A spacing (of rows, of columns) in mm; None unless it is a pair within `SPACINGS`.

    >>> believed_spacing((0.2, 0.1)), believed_spacing((1e200, 0.1)), believed_spacing((0.2,))
    ((0.2, 0.1), None, None)
    """
    if len(sides) != 2 or not all(SPACINGS[0] <= side <= SPACINGS[1] for side in sides):
        return None
    return float(sides[0]), float(sides[1])


def pick_frame(path: Path, count: int, frame: int | None) -> int:
    """The index (from 0) of the frame to read. Raises RadiographError if there is no such frame."""
    if frame is None and count > 1:
        raise RadiographError(
            f"{path}: holds {count} frames; choose one with segment --frame N, 1 to {count}"
        )
    if frame is not None and frame > count:
        raise RadiographError(f"{path}: has no frame {frame}; it holds {count}")
    return (frame or 1) - 1


def _check_file(path: Path) -> None:
    if path.is_dir():
        _check_folder(path)
        lack = "" if _search(path, None) else " that holds no radiographs"
        raise RadiographError(f"{path}: is a folder{lack}; give {_FORMAT_WORDS} files")
    if not path.exists():
        raise RadiographError(f"{path}: there is no such file; check the name")
    if not path.is_file():
        raise RadiographError(f"{path}: is not a file; give a {_FORMAT_WORDS} file")
    if path.stat().st_size == 0:
        raise RadiographError(f"{path}: is empty (0 bytes); copy or export it again")


def _check_folder(path: Path) -> None:
    try:
        os.scandir(path).close()
    except OSError as error:
        reason = error.strerror or "I/O error"
        advice = "check its permissions"
        raise RadiographError(f"{path}: cannot be searched ({reason}); {advice}") from None


def _search(folder: Path, out: Path | None) -> list[Path]:
    """The films in and below a folder, and the folders there that cannot be searched."""
    films: list[Path] = []
    closed: list[Path] = []
    seen = {real_path(folder)}  # links may form cycles

    def is_new(path: Path) -> bool:
        real = real_path(path)
        if path.name.startswith(".") or (out and same_place(out, path)) or real in seen:
            return False
        seen.add(real)
        return True

    def shut(error: OSError) -> None:
        closed.append(Path(error.filename))

    for parent, folders, files in os.walk(folder, onerror=shut, followlinks=True):
        drawn = {masks for images, masks in LAYOUTS if images in folders}
        folders[:] = [name for name in sorted({*folders} - drawn) if is_new(Path(parent, name))]
        shown = [Path(parent, name) for name in files if not name.startswith(".")]
        listed = listed_results(Path(parent)) if not set(REPORTS).isdisjoint(files) else ()
        films += [path for path in shown if _is_film(path, listed)]
    return sorted([*closed, *films])


def _is_film(path: Path, listed: Container[str]) -> bool:
    try:
        if path.is_symlink() and not path.exists():  # reading it gives the reason
            return path.suffix.lower() in SUFFIXES
        if not path.is_file() or is_result(path, listed):
            return False
        if path.suffix.lower() in SUFFIXES:
            return True
        # names of exported DICOM files often end in digits of a UID
        return path.name.upper() != "DICOMDIR" and looks_like_dicom(path)
    except OSError:  # reading it gives the reason
        return path.suffix.lower() in SUFFIXES


def _read_picture(path: Path, frame: int | None) -> NDArray[np.float32]:
    try:
        # an open file: Pillow 13 scrambles rotated TIFFs that it memory-maps itself
        with path.open("rb") as file, Image.open(file, formats=FORMATS) as image:
            # an MPO is a camera JPEG; images after the first are previews
            count = 1 if image.format == "MPO" else getattr(image, "n_frames", 1)
            image.seek(pick_frame(path, count, frame))
            check_size(path, image.height, image.width)
            check_scans(image, path)
            negative = is_white_zero(image)
            deep = deep_colours(image, path, image.tell())
            image.load()
            pixels = _pixels_of(image, path) if deep is None else _laid_on_black(deep, path)
            upright = _turn(pixels, image.getexif().get(0x0112, 1))
    except (BonesegError, MemoryError):
        raise
    except Image.DecompressionBombError:
        raise RadiographError(
            f"{path}: is over the limit of {MAX_PIXELS // 10**6} million pixels; downsample it"
        ) from None
    except UnidentifiedImageError:
        tiff = "is an unsupported or truncated TIFF; save it as an 8- or 16-bit PNG"
        none = f"is not a readable image; give {_FORMAT_WORDS}"
        raise RadiographError(f"{path}: {tiff if is_tiff(path) else none}") from None
    except Exception:  # decoders raise almost any error on damaged files
        raise RadiographError(
            f"{path}: is damaged or truncated; copy it again, or export it as PNG"
        ) from None
    return np.ascontiguousarray(1 - upright if negative else upright)


def _pixels_of(image: Image.Image, path: Path) -> NDArray[np.float32]:
    if image.mode in ("1", "I", "F") or image.mode.startswith("I;16"):
        return to_unit(grey_values(image))
    if image.has_transparency_data:
        ground = Image.new("RGBA", image.size, (0, 0, 0, 255))
        ground.alpha_composite(image.convert("RGBA"))
        return grey_of(np.asarray(ground)[..., :3], path)
    if image.mode == "L":
        return to_unit(grey_values(image))
    return grey_of(np.asarray(image.convert("RGB")), path)


def _laid_on_black(bands: NDArray[np.uint16], path: Path) -> NDArray[np.float32]:
    """Composite 16-bit grey or RGB, height x width x channels (alpha last, if any), on black."""
    colours = bands if bands.shape[2] % 2 else bands[..., :-1]
    if colours is not bands:
        opacity = to_unit(bands[..., -1:])
        for rows in blocks(bands):
            colours[rows] = np.rint(colours[rows] * opacity[rows])
    return grey_of(colours, path) if colours.shape[2] == 3 else to_unit(colours[..., 0])


def _turn(pixels: NDArray[np.float32], orientation: int) -> NDArray[np.float32]:
    """Rotate or flip an image upright by its EXIF orientation (CIPA DC-008, tag 0x0112)."""
    if orientation in (5, 6, 7, 8):
        pixels = pixels.T
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    return pixels
