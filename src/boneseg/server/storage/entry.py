"""A film of the data folder."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from boneseg.errors import DatasetError
from boneseg.masks.filenames import stem_of
from boneseg.server.errors import NotFoundError

State = Literal["unlabelled", "suggested", "corrected", "accepted"]


@dataclass(frozen=True)
class Entry:
    """A film of the library."""

    id: str  # 12 hex digits, from its name
    name: str
    image: Path
    mask: Path | None
    inbox: bool  # uploaded, and not saved yet
    fault: str | None = None  # why its mask is ambiguous

    @classmethod
    def of(
        cls, image: Path, mask: Path | None, *, inbox: bool = False, fault: str | None = None
    ) -> Entry:
        """The entry of an image file, which gives the film its name and id."""
        name = stem_of(image)
        return cls(film_id(name), name, image, mask, inbox, fault)

    def check_clear(self) -> None:
        """Raise DatasetError where the film's mask is ambiguous."""
        if self.fault is not None:
            raise DatasetError(self.fault)

    @property
    def stamp(self) -> str:
        """Modification time and size of the film's file. Raises NotFoundError if it was removed."""
        try:
            status = self.image.stat()
        except OSError:
            raise NotFoundError(f"{self.name}: the film was removed from the folder") from None
        return f"{status.st_mtime_ns}-{status.st_size}"


def film_id(name: str) -> str:
    """The id of a film: 12 hex digits of the SHA-256 of its name, in lower case."""
    return hashlib.sha256(name.casefold().encode(errors="surrogateescape")).hexdigest()[:12]
