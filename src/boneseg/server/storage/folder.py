"""The data folder of a light box: its layout and its lock."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from boneseg._util.files import HIDDEN, LAYOUTS
from boneseg._util.lock import held
from boneseg.dataset.pairing import mask_files
from boneseg.errors import OutputError, UsageError
from boneseg.masks.annotations import is_annotation
from boneseg.masks.filenames import IMAGE_SUFFIXES
from boneseg.radiograph.sniff import DICOM_SUFFIXES
from boneseg.server.errors import ServerError


@contextmanager
def only_server(root: Path, address: str) -> Iterator[None]:
    """Lock a folder for this server. Raises ServerError where another holds it."""
    with held(root / HIDDEN / "lock", address) as other:
        if other is not None:
            raise ServerError(
                f"{root}: is open in another light box ({other}); use or stop that one"
            )
        yield


def layout(root: Path) -> tuple[Path, Path]:
    """The folders of films and masks; those of the first layout where none exists.

    Raises UsageError for films outside such a folder.
    """
    for images, masks in LAYOUTS:
        if (root / images).is_dir():
            return root / images, root / masks
    with suppress(OSError):
        loose = [path for path in root.iterdir() if path.suffix.lower() in _known_suffixes()]
        if loose:
            raise UsageError(
                f"{root}: holds films but no folder images/; move them to {root / 'images'}"
            )
    return root / LAYOUTS[0][0], root / LAYOUTS[0][1]


def _known_suffixes() -> tuple[str, ...]:
    return IMAGE_SUFFIXES + DICOM_SUFFIXES


def private_folder(path: Path) -> None:
    """Make a folder with mode 0700, also where it exists already. Raises OSError."""
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    if path.stat().st_mode & 0o077:
        with suppress(PermissionError):  # owned by another user
            path.chmod(0o700)


def make_private(root: Path, *, datasets: Iterable[Path], own: Iterable[Path]) -> None:
    """Make the folders of a data folder with mode 0700, except dataset folders of the user.

    Raises OutputError where the data folder cannot be written.
    """
    try:
        for folder in (*(f for f in datasets if not f.is_dir()), *own):
            private_folder(folder)
    except OSError as error:
        reason = f"cannot be written ({error.strerror})"
        raise OutputError(f"{root}: {reason}; give --data a writable folder") from None


def refuse_annotations(masks: Path) -> None:
    """Raise UsageError for annotation files: a mask saved beside one would be a second one."""
    for mask in mask_files(masks):
        if is_annotation(mask.path) and not mask.loose:
            raise UsageError(
                f"{mask.path}: annotation files are not supported here; convert them with "
                "boneseg convert DATA --to png --out DIR, and serve the result"
            )
