"""The films of a job, each once, and in which order: on disk, so that memory stays the same.

ledger = Ledger()
ledger.done("films/hip.png")                      # of an earlier start
ledger.add("films/knee.png", "films/knee.png")    # True; False if it is known already
list(ledger.waiting())                            # ["films/knee.png"]
"""

from __future__ import annotations

import hashlib
import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager

_PAGE = 1000  # films read at once


class Ledger:
    """A temporary database that ends with the process: about 150 bytes of disk a film."""

    def __init__(self) -> None:
        self._films = sqlite3.connect("", isolation_level=None, check_same_thread=False)
        self._films.execute("PRAGMA journal_mode = OFF")
        self._films.execute(
            "CREATE TABLE films (number INTEGER PRIMARY KEY, name BLOB UNIQUE, source BLOB)"
        )
        self.count = 0  # films waiting or begun

    def add(self, name: str, source: str) -> bool:
        """Add a film with its name in results, unless that is known."""
        new = self._insert(name, source)
        self.count += new
        return new

    def done(self, name: str) -> bool:
        """Note a film that has its result; returns whether it was unknown."""
        return self._insert(name, None)

    def waiting(self) -> Iterator[str]:
        """The added films, in order."""
        last = 0
        while page := self._films.execute(
            "SELECT number, source FROM films WHERE number > ? AND source IS NOT NULL "
            "ORDER BY number LIMIT ?",
            (last, _PAGE),
        ).fetchall():
            yield from (os.fsdecode(source) for _, source in page)
            last = page[-1][0]

    def _insert(self, name: str, source: str | None) -> bool:
        key = hashlib.blake2b(os.fsencode(name), digest_size=16).digest()
        kept = os.fsencode(source) if source is not None else None
        words = "INSERT OR IGNORE INTO films (name, source) VALUES (?, ?)"
        return self._films.execute(words, (key, kept)).rowcount == 1

    def close(self) -> None:
        self._films.close()


@contextmanager
def ledger() -> Iterator[Ledger]:
    with closing(Ledger()) as films:
        yield films
