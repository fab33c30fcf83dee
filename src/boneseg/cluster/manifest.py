"""The films of an archive, one at a time: of manifests, folders, patterns and single files.

A manifest is a CSV or Parquet file with a column of paths or URLs (`COLUMNS`); relative ones are
below the folder of the manifest. It is read in pieces and may be larger than memory.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from boneseg._util.files import LAYOUTS
from boneseg.cluster.storage import absolute, file_system, is_url, public_url, reason
from boneseg.errors import DatasetError, RadiographError, UsageError
from boneseg.radiograph.discovery import find_radiographs
from boneseg.radiograph.sniff import SUFFIXES

COLUMNS = ("source", "film", "path", "url", "file")  # the first that a manifest has
MANIFESTS = (".csv", ".parquet")
_AT_ONCE = 4096  # rows read of a Parquet manifest
# Protocols of stores. Others of fsspec interpret the content of files (`reference`) or are chained
# (`::`); a manifest may come from anybody, so only the command line accepts these.
_STORES = frozenset(
    (
        *("s3", "s3a", "gs", "gcs", "az", "abfs", "abfss", "adl", "oci", "oss", "http", "https"),
        *("file", "local", "ftp", "sftp", "ssh", "smb", "hdfs", "webhdfs", "webdav", "memory"),
    )
)


@dataclass(frozen=True)
class Entry:
    """A film: its path or URL; or a row that names none, with the reason."""

    source: str
    error: str | None = None


def list_films(inputs: Sequence[str], out: str) -> Iterator[Entry]:
    """The films of the inputs, in order; repeated ones are repeated.

    out: the folder of results, which is skipped. Raises UsageError for an input that does not
    exist or a manifest without a column of films, and DatasetError for one that cannot be read.
    """
    for given in inputs:
        yield from _films(given, out)


def _films(given: str, out: str) -> Iterator[Entry]:
    name = given.partition("?")[0].lower() if is_url(given) else given.lower()
    if name.endswith(MANIFESTS):
        yield from _rows(given, name.endswith(".csv"))
    elif not is_url(given) and (Path(given).exists() or not _is_pattern(given)):
        local = None if is_url(out) else Path(out)
        yield from (Entry(absolute(str(film))) for film in find_radiographs([Path(given)], local))
    else:
        yield from map(Entry, _remote(given, out))


def _is_pattern(text: str) -> bool:
    return any(mark in text for mark in "*?[")


# -- manifests ------------------------------------------------------------------------------------


def _rows(manifest: str, is_csv: bool) -> Iterator[Entry]:
    given, shown = absolute(manifest), public_url(manifest)
    system, path = file_system(given)
    folder = given.partition("?")[0].rpartition("/")[0]
    try:
        file = system.open(path, "rb")
    except FileNotFoundError:
        raise UsageError(f"{shown}: there is no such file; check the name") from None
    except Exception as error:  # of the library of the storage
        raise DatasetError(f"{shown}: cannot be read ({reason(error)})") from None
    with file:
        column = _csv_column(file, shown) if is_csv else _parquet_column(file, shown)
        for number, value in column:
            text = value.strip() if isinstance(value, str) else ""
            if not text:
                yield Entry(f"{shown}, row {number}", "the row names no film; correct the manifest")
            elif not _is_stored(text):
                yield Entry(
                    f"{shown}, row {number}",
                    "the row names no path, and no URL of a store (s3://, gs://, https://); "
                    "correct the manifest",
                )
            elif is_url(text):
                protocol, _, place = text.partition("://")
                yield Entry(f"{protocol.lower()}://{place}")  # as fsspec knows it
            elif Path(text).is_absolute():
                yield Entry(text)
            else:
                yield Entry(f"{folder}/{text}")


def _is_stored(text: str) -> bool:
    protocol = text.partition("://")[0].lower() if is_url(text) else "file"
    return "::" not in text and protocol in _STORES


def _column(names: Sequence[str], shown: str) -> str:
    """The column of films. Raises UsageError."""
    known = {name.strip().lower(): name for name in names}
    for wanted in COLUMNS:
        if wanted in known:
            return known[wanted]
    raise UsageError(f"{shown}: has no column of films; name it {' or '.join(COLUMNS)}")


def _csv_column(file: Iterable[bytes], shown: str) -> Iterator[tuple[int, str | None]]:
    """The number of each row, from 1, and its film; None for a row that cannot be read."""
    reader = csv.reader(line.decode("utf-8-sig", "replace").replace("\0", "�") for line in file)
    try:
        names = next(reader, [])
    except csv.Error:
        names = []
    at = names.index(_column(names, shown))
    number = 0
    while True:
        try:
            row = next(reader)
        except StopIteration:
            return
        except csv.Error:
            row = []
        except Exception as error:  # of the library of the storage
            raise DatasetError(f"{shown}: ends after row {number} ({reason(error)})") from None
        number += 1
        yield number, row[at] if len(row) > at else None


def _parquet_column(file: object, shown: str) -> Iterator[tuple[int, object]]:
    from pyarrow import ArrowException
    from pyarrow.parquet import ParquetFile

    number = 0
    try:
        table = ParquetFile(file)
        name = _column(table.schema_arrow.names, shown)
        for batch in table.iter_batches(_AT_ONCE, columns=[name]):
            for value in batch.column(0).to_pylist():
                number += 1
                yield number, value
    except (ArrowException, OSError, UnicodeDecodeError):
        raise DatasetError(
            f"{shown}: cannot be read as Parquet after row {number}; write it again"
        ) from None


# -- folders --------------------------------------------------------------------------------------


def _remote(given: str, out: str) -> Iterator[str]:
    """The films of a pattern, or of a remote folder or file."""
    system, path = file_system(absolute(given))
    shown = public_url(given)
    found = False
    try:
        if not _is_pattern(path) and system.isfile(path):
            yield given
            return
        places = sorted(system.glob(path)) if _is_pattern(path) else _walk(system, path)
        skipped = f"{file_system(absolute(out))[1]}/"
        for place in places:
            hidden = place.rpartition("/")[2].startswith(".")
            if not hidden and not f"{place}/".startswith(skipped):
                found = True
                yield place if not is_url(given) else system.unstrip_protocol(place)
    except OSError as error:
        if isinstance(error, FileNotFoundError):
            raise UsageError(f"{shown}: there is no such file or folder; check the name") from None
        raise DatasetError(f"{shown}: cannot be listed ({reason(error)})") from None
    except (UsageError, GeneratorExit):
        raise
    except Exception as error:  # of the library of the storage
        raise DatasetError(f"{shown}: cannot be listed ({reason(error)})") from None
    if not found:
        raise RadiographError(f"{shown}: holds no radiographs; check the name")


def _walk(system: object, path: str) -> Iterator[str]:
    """The films below a remote folder, by suffix; drawn masks beside them are left out."""
    walk = getattr(system, "walk")  # noqa: B009  # fsspec has no types
    for parent, folders, files in walk(path, on_error="raise"):
        drawn = {masks for images, masks in LAYOUTS if images in folders}
        for name in [*folders]:
            if name in drawn or name.startswith("."):
                folders.remove(name) if isinstance(folders, list) else folders.pop(name)
        for name in sorted(files):
            if not name.startswith(".") and Path(name).suffix.lower() in SUFFIXES:
                yield f"{parent}/{name}"
