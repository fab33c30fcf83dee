"""Read any radiograph as one array: grey in [0, 1], bone bright, upright.

    film = read_radiograph(Path("knee.dcm"))
    film.pixels       # float32, height x width
    film.spacing_mm   # (row, column) or None

Pictures are read in `radiograph/picture.py`, DICOM in `radiograph/dicom/read.py`, which is imported
for the first DICOM file.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

from boneseg._util.quiet import quiet
from boneseg.errors import BonesegError, RadiographError, UsageError
from boneseg.radiograph.calibration import calibration_of, check_width
from boneseg.radiograph.discovery import check_file
from boneseg.radiograph.film import MAX_BYTES, Radiograph, check_bytes
from boneseg.radiograph.picture import read_picture
from boneseg.radiograph.privacy import public_path
from boneseg.radiograph.sniff import is_dicom


def read_radiograph(
    path: Path | str,
    *,
    invert: bool = False,
    frame: int | None = None,
    keep_names: bool = False,
    spacing: float | None = None,
) -> Radiograph:
    """Read one film; the format is recognised by content, not by name.

    `invert` is for films with dark bone. `frame` (from 1) selects one of several frames or pages.
    `spacing` is the width of a pixel in mm; it replaces that of a `calibration.csv` beside the film
    (`radiograph/calibration.py`), which replaces that of the file. The DPI of plain images is not
    trusted: their spacing is unknown. In errors a DICOM file name that identifies the patient is
    replaced by a hash, unless `keep_names`. Raises RadiographError if the file is not a readable
    radiograph or the table cannot be used, UsageError if `frame` is below 1 or no pixel is as
    wide as `spacing`.
    """
    if spacing is not None:
        check_width(spacing)
    film = read_as_stored(path, invert=invert, frame=frame, keep_names=keep_names)
    if spacing is None:
        spacing = _listed_spacing(Path(path), keep_names)
    return film if spacing is None else film.calibrated(spacing)


def _listed_spacing(path: Path, keep_names: bool) -> float | None:
    try:
        calibration = calibration_of(path)
    except RadiographError as error:
        raise RadiographError(f"{public_path(path, keep_names=keep_names)}: {error}") from None
    return None if calibration is None else calibration.mm


def read_as_stored(
    path: Path | str,
    *,
    invert: bool = False,
    frame: int | None = None,
    keep_names: bool = False,
) -> Radiograph:
    """Read one film with the spacing of its file, as `read_radiograph` does otherwise."""
    path = Path(path)
    if frame is not None and frame < 1:
        raise UsageError(f"--frame {frame}: frames are counted from 1")
    try:
        return _read(path, invert=invert, frame=frame, keep_names=keep_names)
    except BonesegError:
        raise
    except OSError as error:
        problem = f"cannot be opened ({error.strerror}); check the file"
        if error.strerror is None:  # not of the system, but of a library that met the end of a file
            problem = "is damaged or truncated; copy or export it again"
    except MemoryError:
        problem = "there is not enough memory to read it"
    raise RadiographError(f"{public_path(path, keep_names=keep_names)}: {problem}")


def _read(path: Path, *, invert: bool, frame: int | None, keep_names: bool) -> Radiograph:
    check_file(path)
    if is_dicom(path):
        from boneseg.radiograph.dicom.read import read_dicom

        named = partial(public_path, path, keep_names=keep_names)
        with quiet():
            size = path.stat().st_size
            if size > MAX_BYTES:  # the name is looked for in the header
                check_bytes(named(), size)
            return read_dicom(path, named, invert=invert, frame=frame)
    with quiet():
        grey = read_picture(path, frame)
    grey = grey.inverted() if invert else grey
    return Radiograph.stored(grey, None, "unknown", path, frame=frame or 1)
