"""Retention of data for films removed from the folder.

The cached results of a film are deleted once its file is removed. Its masks, drafts and measures
are kept for DAYS, in case the film comes back, and deleted at the first start after that. Removing
a film on the page deletes everything at once.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from boneseg._util.logs import log
from boneseg.errors import OutputError
from boneseg.server.errors import ServerError
from boneseg.server.storage.records import Removals

DAYS = 30


class RemovedFilms:
    """The removed films with masks, drafts or measures, recorded in the file `record`."""

    def __init__(self, record: Path) -> None:
        self._record = record
        try:
            self._removals = Removals.found(record) or Removals()
        except ServerError:  # the retention starts again, so nothing is deleted too early
            log.warning(f"{record}: is damaged; removed films are kept for another {DAYS} days")
            self._removals = Removals()

    def update(self, drawn: Iterable[str], present: Iterable[str]) -> None:
        """Record what was removed: `drawn` are films with masks, drafts or measures,
        `present` those there, all by their id.
        """
        removed, now = set(drawn) - set(present), time.time()
        earlier = self._removals.since
        since = {film: min(earlier.get(film, now), now) for film in sorted(removed)}
        if since == earlier:
            return
        self._removals = Removals(since=since)
        with suppress(OutputError):
            self._removals.write(self._record)

    def expired(self) -> set[str]:
        """The films removed more than DAYS ago."""
        limit = time.time() - DAYS * 24 * 3600
        return {film for film, moment in self._removals.since.items() if moment < limit}
