"""The results for each film, cached on disk.

    ROOT/<film>/facts.json, thumbnail.png, suggestion.bits.gz     kept
    ROOT/<film>/film.u16.gz, probability.u8.gz                    kept up to ROOM bytes

Facts are valid for one state of the film's file and one model. The cache can be deleted at any
time; it is rebuilt.
"""

from __future__ import annotations

import json
import shutil
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from boneseg.server.workers.tasks import FACTS, FILM, PROBABILITY, SUGGESTION, THUMBNAIL_FILE, Facts

ROOM = 2 * 2**30  # bytes for films and probabilities
LARGE = (FILM, PROBABILITY)
ALL = (FACTS, SUGGESTION, THUMBNAIL_FILE, *LARGE)


@dataclass
class Cache:
    """The cached results of one data folder."""

    root: Path
    room: int = ROOM
    _known: dict[str, Facts] = field(default_factory=dict)
    _order: dict[str, int] = field(default_factory=dict)  # order of segmentation

    def folder(self, film: str) -> Path:
        """The folder of a film's results, by its id."""
        return self.root / film

    def facts(self, film: str, stamp: str, model: str) -> Facts | None:
        """The facts of a film for this file state and this model (its digest), or None."""
        if film not in self._known:
            try:
                text = (self.folder(film) / FACTS).read_text(encoding="utf-8")
                known = json.loads(text)
                known["spacing_mm"] = known["spacing_mm"] and tuple(known["spacing_mm"])
                if not (isinstance(known["height"], int) and isinstance(known["width"], int)):
                    return None
                self._known[film] = Facts(**known)
            except (OSError, ValueError, TypeError, KeyError):
                return None
        found = self._known[film]
        return found if (found.stamp, found.model) == (stamp, model) else None

    def keep(self, film: str, facts: Facts) -> None:
        """Register the results that the worker has written, and evict old ones."""
        self._known[film] = facts
        self._order[film] = max(self._order.values(), default=0) + 1
        self._make_room(film)

    def whole(self, film: str) -> bool:
        """Whether all files of a film are present, including the large ones."""
        return all((self.folder(film) / name).is_file() for name in ALL)

    def file(self, film: str, name: str) -> Path:
        return self.folder(film) / name

    def forget(self, film: str) -> None:
        """Delete the results of a removed film."""
        self._known.pop(film, None)
        self._order.pop(film, None)
        shutil.rmtree(self.folder(film), ignore_errors=True)

    def _make_room(self, spared: str) -> None:
        """Delete the large files of the films segmented longest ago.

        Modification times only order the films that this server has not segmented, since the clock
        may have been set back.
        """
        sizes: list[tuple[tuple[int, float], int, Path]] = []
        with suppress(OSError):
            for folder in self.root.iterdir():
                if folder.name == spared:
                    continue
                for name in LARGE:
                    with suppress(OSError):
                        told = (folder / name).stat()
                        age = (self._order.get(folder.name, 0), told.st_mtime)
                        sizes.append((age, told.st_size, folder / name))
        spent = sum(size for _, size, _ in sizes)
        for _, size, path in sorted(sizes):
            if spent <= self.room:
                break
            with suppress(OSError):
                path.unlink()
                spent -= size
