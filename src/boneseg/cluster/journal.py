"""Rows that are not in a shard yet: a file for each batch, written by its worker.

    OUT/journal/KEY/BATCH.json

The files of a batch are written before its journal, so a job that is started again finds here what
was done since the last shard was written. The driver removes a journal whose rows are in a shard.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict

from boneseg._util.files import read_json
from boneseg._util.json_fields import from_json
from boneseg.cluster.row import Row
from boneseg.cluster.storage import Storage


class Journal:
    """The journal of a job. All methods raise OutputError if the storage refuses."""

    def __init__(self, out: Storage, key: str) -> None:
        self._out, self._folder = out, f"journal/{key}"

    def write(self, sources: Sequence[str], rows: Iterable[Row]) -> None:
        """Keep the rows of a batch, except failed ones: those films are tried again."""
        good = [asdict(row) for row in rows if row.error is None]
        if good:
            self._out.write(self._place(self.name(sources)), json.dumps(good).encode())

    def read(self) -> Iterator[tuple[str, list[Row]]]:
        """The rows of each batch, by its name; a damaged file has none."""
        for file in self._out.names(self._folder):
            try:
                kept = read_json(self._out.read(f"{self._folder}/{file}") or b"[]")
                rows = [from_json(Row, row) for row in kept]
            except (ValueError, TypeError):
                rows = []
            yield file.removesuffix(".json"), rows

    def remove(self, names: Iterable[str]) -> None:
        """Remove the journals of batches."""
        self._out.remove_files([self._place(name) for name in names])

    def _place(self, name: str) -> str:
        return f"{self._folder}/{name}.json"

    @staticmethod
    def name(sources: Sequence[str]) -> str:
        """The name of a batch."""
        return hashlib.sha256("\0".join(sources).encode("utf-8", "surrogateescape")).hexdigest()[
            :32
        ]
