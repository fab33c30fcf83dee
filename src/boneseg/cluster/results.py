"""The rows of a job as shards of Parquet.

    OUT/results/model=KEY/part-00000.parquet

Readers of partitioned Parquet take the folder as one table. A shard is full at `SHARD` rows;
only the last one grows: it is replaced as a whole every `EVERY` seconds. Rows that are not in it
yet are in the journal (`journal.py`).
"""

from __future__ import annotations

import io
import time
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import fields

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from boneseg.cluster.journal import Journal
from boneseg.cluster.row import Copy, Row
from boneseg.cluster.storage import Storage, public_url
from boneseg.errors import OutputError

SHARD = 20_000  # rows
PACKED = 1000  # rows that are packed together: as objects they take a multiple of the memory
EVERY = 30.0  # seconds between writes of the last shard
_TEXT, _NUMBER = pa.string(), pa.float64()
SCHEMA = pa.schema(
    {
        "source": _TEXT,
        "digest": _TEXT,
        "size": pa.int64(),
        "width": pa.int32(),
        "height": pa.int32(),
        "part": _TEXT,
        "part_confidence": _NUMBER,
        "projection": _TEXT,
        "verdict": _TEXT,
        "reason": _TEXT,
        "trust": _NUMBER,
        "area_px": pa.int64(),
        "area_mm2": _NUMBER,
        "spacing": _TEXT,
        "seconds": _NUMBER,
        "outputs": pa.map_(_TEXT, _TEXT),
        "skipped": pa.map_(_TEXT, _TEXT),
        "error": _TEXT,
    }
)


class Results:
    """The shards of a job. Raises OutputError if they cannot be read or written."""

    def __init__(self, out: Storage, folder: str, journal: Journal) -> None:
        self.folder, self.out, self._journal = folder, out, journal
        self.shard = 0  # the number of the last shard
        self._taken: list[str] = []  # batches whose rows are here
        self._looked: tuple[int, pa.Table] | None = None  # the shard that a row was copied from
        self._kept: list[pa.Buffer] = []  # of the last shard, packed
        self._rows = 0  # in these
        self._new: list[Row] = []  # not yet packed
        self._saved = -EVERY  # the first row is written at once

    def resume(self, formats: Collection[str]) -> Iterator[tuple[str, str]]:
        """The source and digest of the rows that are there; failed ones are removed.

        So are those that lack one of the formats. While a row is given, `shard` is that of it.
        """
        names = [name for name in self.out.names(self.folder) if name.endswith(".parquet")]
        for number, name in enumerate(names):
            table, self.shard = self._read(name), number
            good = table.filter(pc.and_(pc.is_null(table["error"]), _has(table, formats)))
            is_open = number == len(names) - 1 and len(good) < SHARD
            if is_open:
                self._kept = [_packed(batch) for batch in good.to_batches(PACKED)]
                self._rows = len(good)
            elif len(good) < len(table):
                self._write(name, good.to_batches())
            yield from zip(good["source"].to_pylist(), good["digest"].to_pylist(), strict=True)
            self.shard = number if is_open else number + 1

    def unsaved(self, formats: Collection[str]) -> Iterator[Row]:
        """The rows of the journal, of which some may be in a shard. To be added before the next."""
        for batch, rows in self._journal.read():
            yield from (row for row in rows if {*formats} <= {*row.outputs, *row.skipped})
            self._taken.append(batch)

    @property
    def place(self) -> str:
        """The URL of the shards, as it may be printed."""
        return public_url(self.out.place(self.folder))

    def add(self, row: Row) -> None:
        self._new.append(row)
        if len(self._new) >= PACKED:
            self._kept.append(_packed(_batch(self._new)))
            self._rows, self._new = self._rows + len(self._new), []
        if self._rows + len(self._new) >= SHARD:
            self.save()
            self.shard, self._kept, self._rows, self._new = self.shard + 1, [], 0, []
        elif time.monotonic() - self._saved > EVERY:
            self.save()

    def added(self, batch: Sequence[str]) -> None:
        """Note that all rows of a batch were added: its journal is not needed for long."""
        self._taken.append(self._journal.name(batch))

    def copied(self, copy: Copy, shard: int) -> Row:
        """The row of a film whose content has one in a shard."""
        if self._looked is None or self._looked[0] != shard:
            is_open = shard == self.shard
            table = pa.Table.from_batches(self._batches(), SCHEMA) if is_open else None
            self._looked = shard, table or self._read(f"part-{shard:05d}.parquet")
        table = self._looked[1]
        (found,) = table.filter(pc.equal(table["digest"], copy.digest)).slice(0, 1).to_pylist()
        maps = {name: dict(found[name]) for name in ("outputs", "skipped")}
        return Row(**{**found, **maps, "source": copy.source})

    def save(self) -> None:
        """Write the last shard, and remove the journal of its rows."""
        if self._kept or self._new:
            self._write(f"part-{self.shard:05d}.parquet", self._batches())
        self._saved = time.monotonic()
        taken, self._taken = self._taken, []
        if taken:
            self._journal.remove(taken)

    def _batches(self) -> Iterator[pa.RecordBatch]:
        """The rows of the last shard, of which only a part is unpacked at a time."""
        for packed in self._kept:
            yield pa.ipc.open_stream(packed).read_next_batch()
        if self._new:
            yield _batch(self._new)

    def _read(self, name: str) -> pa.Table:
        content = self.out.read(f"{self.folder}/{name}")
        try:
            table = pq.read_table(pa.BufferReader(content or b""), schema=SCHEMA)
            table.validate(full=True)  # text that is not UTF-8
            return table
        except (pa.ArrowException, OSError):
            raise OutputError(
                f"{self.place}/{name}: was not written by boneseg, or is "
                "damaged; move it away, or choose another --out"
            ) from None

    def _write(self, name: str, batches: Iterable[pa.RecordBatch]) -> None:
        buffer = io.BytesIO()
        with pq.ParquetWriter(buffer, SCHEMA, compression="zstd") as file:
            for batch in batches:
                file.write_batch(batch)
        self.out.write(f"{self.folder}/{name}", buffer.getvalue())


def _has(table: pa.Table, formats: Collection[str]) -> pa.Array:
    """Which rows have all formats, or the reason why not."""
    has = pa.scalar(True)
    for kind in formats:
        places = [pc.map_lookup(table[name], kind, "first") for name in ("outputs", "skipped")]
        has = pc.and_(has, pc.is_valid(pc.coalesce(*places)))
    return has


def _batch(rows: list[Row]) -> pa.RecordBatch:
    columns = []
    for one in fields(Row):
        values = [getattr(row, one.name) for row in rows]
        if one.name in ("outputs", "skipped"):
            values = [list(value.items()) for value in values]
        columns.append(pa.array(values, SCHEMA.field(one.name).type))
    return pa.RecordBatch.from_arrays(columns, schema=SCHEMA)


def _packed(batch: pa.RecordBatch) -> pa.Buffer:
    """A compressed batch: a quarter of its memory."""
    sink = pa.BufferOutputStream()
    options = pa.ipc.IpcWriteOptions(compression="zstd")
    with pa.ipc.new_stream(sink, SCHEMA, options=options) as stream:
        stream.write_batch(batch)
    return sink.getvalue()
