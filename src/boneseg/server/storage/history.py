"""Every mask ever saved for each film.

    DATA/.boneseg/history/<film>/<moment>-<revision>.png
    DATA/.boneseg/history/<film>/<moment>-<revision>.json     who saved it, and as what

A version's moment is later than all before it, even where the clock has been set back.
"""

from __future__ import annotations

import hashlib
import shutil
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from boneseg._util.documents import Document
from boneseg._util.files import file_digest, make_folder, read_bytes, whole_file
from boneseg.errors import OutputError
from boneseg.radiograph.film import MAX_BYTES
from boneseg.server.storage.records import Saved

_MOMENT = "%Y%m%dT%H%M%S%f"
_SIGNATURE = ".json"
_DIGITS = 16  # of a revision


class Signature(Document):
    """How a version was saved on the page. by: the name that the reader typed, or empty."""

    state: Saved
    by: str = ""


@dataclass(frozen=True)
class Version:
    """A mask in the history of a film. signature: None where another program wrote it."""

    revision: str
    saved: str  # UTC, ISO 8601
    path: Path
    signature: Signature | None = None


@dataclass(frozen=True)
class History:
    """The versions of every film of one data folder, by the film's name."""

    root: Path

    def of(self, film: str) -> list[Version]:
        """All saved masks of a film, newest first."""
        found = []
        for path in (self.root / film).glob("*-*.*"):
            when, _, revision = path.stem.partition("-")
            if not path.name.startswith(".") and path.suffix != _SIGNATURE:
                signature = _signature(path.with_suffix(_SIGNATURE))
                found.append(Version(revision, _readable(when), path, signature))
        return sorted(found, key=lambda version: version.path.name, reverse=True)

    def remember(self, film: str, mask: Path | None) -> None:
        """Add a mask that is about to be replaced, unless it is known. Raises OutputError."""
        if mask is None or not mask.is_file():
            return
        try:
            content = read_bytes(mask, MAX_BYTES)
        except OSError as error:
            raise OutputError(
                f"{mask.name}: cannot be kept in the history ({error.strerror}); move it away"
            ) from None
        revision = digest(content)
        if all(version.revision != revision for version in self.of(film)):
            self.add(film, revision, content, mask.suffix)

    def add(
        self,
        film: str,
        revision: str,
        content: bytes,
        suffix: str,
        signature: Signature | None = None,
    ) -> None:
        """Add a version. Raises OutputError."""
        folder = self.root / film
        make_folder(folder, "free space")
        name = f"{self._moment(film)}-{revision}"
        if signature is not None:
            signature.write(folder / f"{name}{_SIGNATURE}")
        with whole_file(folder / f"{name}{suffix.lower()}") as temporary:
            temporary.write_bytes(content)

    def films(self) -> list[str]:
        """The names of the films that have a history."""
        return sorted(folder.name for folder in self.root.glob("*") if folder.is_dir())

    def remove(self, film: str) -> None:
        """Remove every version of a film."""
        shutil.rmtree(self.root / film, ignore_errors=True)

    def _moment(self, film: str) -> str:
        """Now, or just after the newest version, whichever is later."""
        now = datetime.now(UTC).replace(tzinfo=None)
        for version in self.of(film)[:1]:
            newest = _parsed(version.path.stem.partition("-")[0])
            if newest is not None and newest >= now:
                now = newest + timedelta(microseconds=1)
        return now.strftime(_MOMENT)


def digest(content: bytes) -> str:
    """The revision of a mask file's content: 16 hex digits of its SHA-256."""
    return hashlib.sha256(content).hexdigest()[:_DIGITS]


def revision_of(mask: Path) -> str:
    """The revision of a mask file. Raises OSError."""
    return file_digest(mask, MAX_BYTES)[:_DIGITS]


def _signature(path: Path) -> Signature | None:
    try:
        return Signature.read(path)
    except (OSError, ValueError):  # another program's mask, or a damaged record
        return None


def _parsed(when: str) -> datetime | None:
    try:
        return datetime.strptime(when, _MOMENT)
    except ValueError:
        return None


def _readable(when: str) -> str:
    moment = _parsed(when)
    return when if moment is None else moment.replace(tzinfo=UTC).isoformat()
