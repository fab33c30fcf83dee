"""The films of a job, each once, and in which order: on disk, so that memory stays the same.

ledger = Ledger()
ledger.done("films/hip.png")                      # of an earlier start
ledger.add("films/knee.png", "films/knee.png")    # Known.NEW
list(ledger.waiting())                            # ["films/knee.png"]
"""

from __future__ import annotations

import hashlib
import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from enum import Enum, auto

import numpy as np
import numpy.typing as npt

_PAGE = 1000  # films read at once
_MOST = 4_000_000  # digests that workers are given, of 16 bytes each

Digests = npt.NDArray[np.uint64]  # 2 x n, in order: halves of 16 bytes


class Known(Enum):
    """What was known of a film that is added: nothing, its result, or that it was added."""

    NEW = auto()
    DONE = auto()
    ADDED = auto()


class Ledger:
    """A temporary database that ends with the process: about 150 bytes of disk a film."""

    def __init__(self) -> None:
        self._films = sqlite3.connect("", isolation_level=None, check_same_thread=False)
        self._films.execute("PRAGMA journal_mode = OFF")
        self._films.execute(
            "CREATE TABLE films"
            " (number INTEGER PRIMARY KEY, name BLOB UNIQUE, source BLOB, added BOOLEAN)"
        )
        self._films.execute(
            "CREATE TABLE digests (digest BLOB PRIMARY KEY, shard INTEGER) WITHOUT ROWID"
        )
        self.count = 0  # films waiting or begun

    def add(self, name: str, source: str) -> Known:
        """Add a film with its name in results, unless that is known."""
        if self._insert(name, source):
            self.count += 1
            return Known.NEW
        words = "UPDATE films SET added = TRUE WHERE name = ? AND NOT added"
        is_done = self._films.execute(words, (_key(name),)).rowcount == 1
        return Known.DONE if is_done else Known.ADDED

    def done(self, name: str) -> bool:
        """Note a film that has its result; returns whether it was unknown."""
        return self._insert(name, None)

    def found_in(self, shard: int, digest: str) -> None:
        """Note the shard that has the result of a content."""
        words = "INSERT OR IGNORE INTO digests VALUES (?, ?)"
        self._films.execute(words, (bytes.fromhex(digest)[:16], shard))

    def shard_of(self, digest: str) -> int:
        """The shard that was noted for a content."""
        words = "SELECT shard FROM digests WHERE digest = ?"
        return int(self._films.execute(words, (bytes.fromhex(digest)[:16],)).fetchone()[0])

    def digests(self) -> Digests:
        """The contents that have a result, for `holds`."""
        words = "SELECT digest FROM digests ORDER BY digest LIMIT ?"
        joined = b"".join(digest for (digest,) in self._films.execute(words, (_MOST,)))
        return np.ascontiguousarray(np.frombuffer(joined, ">u8").reshape(-1, 2).T, np.uint64)

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
        kept = os.fsencode(source) if source is not None else None
        words = "INSERT OR IGNORE INTO films (name, source, added) VALUES (?, ?, ?)"
        return self._films.execute(words, (_key(name), kept, kept is not None)).rowcount == 1

    def close(self) -> None:
        self._films.close()


@contextmanager
def ledger() -> Iterator[Ledger]:
    with closing(Ledger()) as films:
        yield films


def _key(name: str) -> bytes:
    return hashlib.blake2b(os.fsencode(name), digest_size=16).digest()


def holds(digests: Digests, digest: str) -> bool:
    """Whether a content is among those of `Ledger.digests`."""
    first, second = np.frombuffer(bytes.fromhex(digest)[:16], ">u8").astype(np.uint64)
    at = int(np.searchsorted(digests[0], first))
    return at < digests.shape[1] and bool(digests[0, at] == first and digests[1, at] == second)
