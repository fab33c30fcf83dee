"""The results for each film, cached on disk.

    ROOT/<film>/facts.json, thumbnail.png, suggestion.bits.gz     kept
    ROOT/<film>/film.u16.gz, probability.u8.gz                    kept up to MOST_BYTES

Facts are valid for one state of the film's file and one model. The cache can be deleted at any
time; it is rebuilt.
"""

from __future__ import annotations

import shutil
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from boneseg.server.storage.results import (
    FACTS,
    FILM,
    PROBABILITY,
    SUGGESTION,
    THUMBNAIL,
    StoredFacts,
)

MOST_BYTES = 2 * 2**30  # of films and probabilities
LARGE = (FILM, PROBABILITY)
ALL = (FACTS, SUGGESTION, THUMBNAIL, *LARGE)


@dataclass
class Cache:
    """The cached results of one data folder."""

    root: Path
    most_bytes: int = MOST_BYTES
    _known: dict[str, StoredFacts] = field(default_factory=dict)
    _order: dict[str, int] = field(default_factory=dict)  # order of segmentation

    def folder(self, film: str) -> Path:
        """The folder of a film's results, by its id."""
        return self.root / film

    def facts(self, film: str, stamp: str, model: str) -> StoredFacts | None:
        """The facts of a film for this file state and this model (its digest), or None."""
        found = self._facts(film)
        valid = found is not None and (found.stamp, found.model) == (stamp, model)
        return found if valid else None

    def answers(self, film: str) -> tuple[str, ...]:
        """The revisions of the masks that models have suggested for a film."""
        found = self._facts(film)
        return found.answers if found is not None else ()

    def has_thumbnail(self, film: str, stamp: str) -> bool:
        """Whether there is a thumbnail of this file state, which is the same for all models."""
        found = self._facts(film)
        valid = found is not None and found.stamp == stamp
        return valid and self.file(film, THUMBNAIL).is_file()

    def _facts(self, film: str) -> StoredFacts | None:
        if film not in self._known:
            try:
                self._known[film] = StoredFacts.read(self.folder(film) / FACTS)
            except (OSError, ValueError):  # missing or damaged: the film is segmented again
                return None
        return self._known[film]

    def add(self, film: str, facts: StoredFacts) -> None:
        """Register the results that the worker has written, and evict old ones."""
        self._known[film] = facts
        self._order[film] = max(self._order.values(), default=0) + 1
        self._evict(film)

    def is_complete(self, film: str) -> bool:
        """Whether all files of a film are present, including the large ones."""
        return all((self.folder(film) / name).is_file() for name in ALL)

    def file(self, film: str, name: str) -> Path:
        return self.folder(film) / name

    def forget(self, film: str) -> None:
        """Delete the results of a removed film."""
        self._known.pop(film, None)
        self._order.pop(film, None)
        shutil.rmtree(self.folder(film), ignore_errors=True)

    def _evict(self, kept: str) -> None:
        """Delete the large files of the films segmented longest ago, except those of `kept`.

        Modification times only order the films that this server has not segmented, since the clock
        may have been set back.
        """
        files: list[tuple[tuple[int, float], int, Path]] = []
        with suppress(OSError):
            for folder in self.root.iterdir():
                if folder.name == kept:
                    continue
                for path in (folder / name for name in LARGE):
                    with suppress(OSError):
                        status = path.stat()
                        age = (self._order.get(folder.name, 0), status.st_mtime)
                        files.append((age, status.st_size, path))
        used = sum(size for _, size, _ in files)
        for _, size, path in sorted(files):
            if used <= self.most_bytes:
                break
            with suppress(OSError):
                path.unlink()
                used -= size
