"""The result of each film as a row, and the rows of a job as shards of Parquet.

    OUT/results/model=KEY/part-00000.parquet

Readers of partitioned Parquet take the folder as one table. A shard is full at `SHARD` rows;
only the last one grows: it is replaced as a whole every `EVERY` seconds.
"""

from __future__ import annotations

import io
import json
import time
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field, fields, replace

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from boneseg._util.json_fields import from_json
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


@dataclass(frozen=True)
class Row:
    """The result of a film.

    source: its path or URL; a hash where that identifies the patient. digest: SHA-256 of its
    content. size: of the file, bytes. seconds: of inference. outputs: the files by format, below
    OUT. skipped: formats that the film cannot have, with the reason. error: why it failed; then
    little else is known.
    """

    source: str
    digest: str | None = None
    size: int | None = None
    width: int | None = None
    height: int | None = None
    part: str | None = None
    part_confidence: float | None = None
    projection: str | None = None
    verdict: str | None = None
    reason: str | None = None
    trust: float | None = None
    area_px: int | None = None
    area_mm2: float | None = None
    spacing: str | None = None
    seconds: float | None = None
    outputs: dict[str, str] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)
    error: str | None = None

    def to_json(self) -> bytes:
        return json.dumps(asdict(self)).encode()

    @classmethod
    def of(cls, content: bytes, source: str) -> Row | None:
        """The row of a record, for a film at `source`; None if it is not one."""
        try:
            return replace(from_json(cls, json.loads(content)), source=source)
        except ValueError:
            return None


class Results:
    """The shards of a job. Raises OutputError if they cannot be read or written."""

    def __init__(self, out: Storage, folder: str) -> None:
        self.folder, self.out = folder, out
        self._full = 0  # shards that are full
        self._kept: list[pa.Buffer] = []  # of the last shard, packed
        self._rows = 0  # in these
        self._new: list[Row] = []  # not yet packed
        self._saved = -EVERY  # the first row is written at once

    def resume(self) -> Iterator[str]:
        """The sources of the rows that are there, except failed ones: their rows are removed."""
        names = [name for name in self.out.names(self.folder) if name.endswith(".parquet")]
        for number, name in enumerate(names):
            table = self._read(name)
            good = table.filter(pc.is_null(table["error"]))
            is_last = number == len(names) - 1
            if is_last and len(good) < SHARD:
                self._kept = [_packed(batch) for batch in good.to_batches(PACKED)]
                self._rows = len(good)
            elif len(good) < len(table):
                self._write(name, good.to_batches())
            yield from good["source"].to_pylist()
            self._full = number + 1 if not is_last or len(good) >= SHARD else number

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
            self._full, self._kept, self._rows, self._new = self._full + 1, [], 0, []
        elif time.monotonic() - self._saved > EVERY:
            self.save()

    def save(self) -> None:
        """Write the last shard."""
        if self._kept or self._new:
            self._write(f"part-{self._full:05d}.parquet", self._batches())
        self._saved = time.monotonic()

    def _batches(self) -> Iterator[pa.RecordBatch]:
        """The rows of the last shard, of which only a part is unpacked at a time."""
        for packed in self._kept:
            yield pa.ipc.open_stream(packed).read_next_batch()
        if self._new:
            yield _batch(self._new)

    def _read(self, name: str) -> pa.Table:
        content = self.out.read(f"{self.folder}/{name}")
        try:
            return pq.read_table(pa.BufferReader(content or b""), schema=SCHEMA)
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
