"""Retention of data for films removed from the folder.

Folders made here are private (0700). The cached results of a film are deleted once its file is
removed. Its masks and drafts are kept for DAYS, in case the film comes back, and deleted at the
first start after that. Removing a film on the page deletes everything at once.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from boneseg._util.files import whole_file
from boneseg.errors import OutputError

DAYS = 30


def private_folder(path: Path) -> None:
    """Make a folder with mode 0700, also where it exists already. Raises OSError."""
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    if path.stat().st_mode & 0o077:
        with suppress(PermissionError):  # owned by another user
            path.chmod(0o700)


@dataclass
class Gone:
    """When each film (by id) with masks or drafts was removed; stored in `record`."""

    record: Path
    since: dict[str, float] = field(default_factory=dict)  # seconds since 1970

    def __post_init__(self) -> None:
        with suppress(OSError, ValueError, TypeError, AttributeError):
            found = json.loads(self.record.read_text(encoding="utf-8"))
            self.since = {str(film): float(moment) for film, moment in found.items()}

    def note(self, drawn: Iterable[str], present: Iterable[str]) -> None:
        """Update the record: `drawn` are the films with masks or drafts, `present` those there."""
        gone, now = set(drawn) - set(present), time.time()
        since = {film: min(self.since.get(film, now), now) for film in sorted(gone)}
        if since == self.since:
            return
        self.since = since
        with suppress(OutputError), whole_file(self.record) as temporary:
            temporary.write_text(json.dumps(since, indent=0) + "\n", encoding="utf-8")

    def expired(self) -> set[str]:
        """The films removed more than DAYS ago."""
        limit = time.time() - DAYS * 24 * 3600
        return {film for film, moment in self.since.items() if moment < limit}
