"""What the light box keeps of a film that is gone, who can read it, and what a kill leaves behind.

Folders that are made here are private (0700). The pictures of a film (thumbnail, pixels, findings)
are removed as soon as it is gone from the folder. What was drawn on it is kept for DAYS, in case
the film comes back, and removed at the next start after that. Removing a film on the page removes
all of it at once.
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
    """Make a folder that only its owner can enter; one that is there is made so. Raises OSError."""
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    if path.stat().st_mode & 0o077:
        with suppress(PermissionError):  # another user's, who answers for its rights
            path.chmod(0o700)


@dataclass
class Gone:
    """Since when each film (its id) that something was drawn on is gone; kept in `record`."""

    record: Path
    since: dict[str, float] = field(default_factory=dict)  # seconds since 1970

    def __post_init__(self) -> None:
        with suppress(OSError, ValueError, TypeError, AttributeError):
            found = json.loads(self.record.read_text(encoding="utf-8"))
            self.since = {str(film): float(moment) for film, moment in found.items()}

    def note(self, drawn: Iterable[str], present: Iterable[str]) -> None:
        """Note which of the films that something was drawn on are gone, and which are back."""
        gone, now = set(drawn) - set(present), time.time()
        since = {film: min(self.since.get(film, now), now) for film in sorted(gone)}
        if since == self.since:
            return
        self.since = since
        with suppress(OutputError), whole_file(self.record) as temporary:
            temporary.write_text(json.dumps(since, indent=0) + "\n", encoding="utf-8")

    def expired(self) -> set[str]:
        """The films that have been gone for more than DAYS."""
        limit = time.time() - DAYS * 24 * 3600
        return {film for film, moment in self.since.items() if moment < limit}
