"""Find the films in folders, and check that a path is a readable file."""

from __future__ import annotations

import os
from collections.abc import Container, Sequence
from pathlib import Path

from boneseg._util.files import LAYOUTS, real_path, same_place
from boneseg.errors import RadiographError, UsageError
from boneseg.radiograph.picture import FORMAT_NAMES
from boneseg.radiograph.provenance import REPORTS, is_result, listed_results
from boneseg.radiograph.sniff import SUFFIXES, has_dicom_mark


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
        check_file(films[0])
    return films


def check_file(path: Path) -> None:
    """Raise RadiographError, with the reason, unless the path is a file with content."""
    if path.is_dir():
        _check_folder(path)
        lack = "" if _search(path, None) else " that holds no radiographs"
        raise RadiographError(f"{path}: is a folder{lack}; give {FORMAT_NAMES} files")
    if not path.exists():
        raise RadiographError(f"{path}: there is no such file; check the name")
    if not path.is_file():
        raise RadiographError(f"{path}: is not a file; give a {FORMAT_NAMES} file")
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
        return path.name.upper() != "DICOMDIR" and has_dicom_mark(path)
    except OSError:  # reading it gives the reason
        return path.suffix.lower() in SUFFIXES
