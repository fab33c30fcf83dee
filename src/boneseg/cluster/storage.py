"""Files at a URL, local or remote, by fsspec: s3://, gs://, http(s)://, or a path.

    out = Storage("s3://bucket/masks")
    out.put(Path("knee_mask.png"), "ab/knee_mask.png")

Credentials are found by fsspec's own means (environment, configuration files, instance roles).
Messages contain no URL with credentials, and no text of a library's error, which could quote them.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

import fsspec
from fsspec.registry import known_implementations

from boneseg._util.files import unwritable, whole_file
from boneseg.errors import OutputError, RadiographError, UsageError
from boneseg.radiograph.film import MAX_BYTES, check_bytes

T = TypeVar("T")
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*(::|://)")
_FULL = {  # codes of AWS and Ceph, of MinIO, and the HTTP status
    "QuotaExceeded",
    "QuotaExceededException",
    "InsufficientStorage",
    "XMinioStorageFull",
    "XMinioAdminBucketQuotaExceeded",
    507,
}
_NO_BYTES = {416, "InvalidRange"}  # of a file that is empty
_DENIED = ("NoCredentialsError", "PartialCredentialsError", "PermissionError", "RefreshError")


def is_url(text: str) -> bool:
    return bool(_URL.match(text))


def absolute(text: str) -> str:
    """A URL as it is; a path as an absolute one, which workers elsewhere understand."""
    return text if is_url(text) else str(Path(text).absolute())


def public_url(url: str) -> str:
    """A URL as it may be printed: without user, password and query, which may be signed.

    >>> public_url("https://me:word@host/knee.png?signature=1")
    'https://host/knee.png?9bb8a90a'
    """
    if not is_url(url):
        return url
    place, mark, query = url.partition("?")
    place = re.sub(r"://[^/@]*@", "://", place)
    if not mark or "*" in place or not place.startswith("http"):  # elsewhere a pattern
        return place + mark + query
    return f"{place}?{hashlib.sha256(query.encode()).hexdigest()[:8]}"


def reason(error: Exception) -> str:
    """Why a storage refuses, in words of ours: those of a library could quote a credential."""
    kind, codes = type(error).__name__, _codes(error)
    if isinstance(error, FileNotFoundError):
        return "there is no such file or bucket"
    if codes & _FULL:
        return "the bucket is full, or its quota is used up"
    if kind in _DENIED or codes & {401, 403}:
        return "access is denied: check the credentials"
    if isinstance(error, ImportError):
        return "its file system needs a further package"
    if isinstance(error, OSError) and error.errno:
        return os.strerror(error.errno)
    return f"storage error, {kind}"


def _codes(error: Exception) -> set[object]:
    """The HTTP status and the code of a service, of an error and its cause."""
    found: set[object] = set()
    for one in (error, error.__cause__):
        found.add(getattr(one, "status", None) or getattr(one, "code", None))
        response = getattr(one, "response", None)  # of botocore
        if isinstance(response, dict):
            found.add(response.get("Error", {}).get("Code"))
            found.add(response.get("ResponseMetadata", {}).get("HTTPStatusCode"))
    return found - {None}


def file_system(url: str) -> tuple[fsspec.AbstractFileSystem, str]:
    """The file system of a URL, and the path in it. Raises UsageError for an unknown protocol."""
    try:
        system, path = _opened(url)
    except ImportError:
        known = known_implementations.get(url.partition(":")[0], {})
        advice = known.get("err", "see fsspec's list of known protocols")
        raise UsageError(f"{public_url(url)}: needs a further package: {advice}") from None
    except (ValueError, OSError):
        raise UsageError(
            f"{public_url(url)}: cannot be opened (no such file system); check the URL"
        ) from None
    if is_url(url) and not path.strip("/"):
        raise UsageError(f"{public_url(url)}: names no bucket, host or folder; check the URL")
    return system, path


def _opened(url: str) -> tuple[fsspec.AbstractFileSystem, str]:
    # A file is read with one request: to read in parts at once, s3fs asks for the size first.
    options = {"max_concurrency": 1} if url.startswith(("s3://", "s3a://")) else {}
    system, path = fsspec.core.url_to_fs(url, **options)
    return system, str(path)


def read_film(source: str) -> bytes:
    """The content of a film. Raises RadiographError."""
    try:
        system, path = _opened(source)
        content: bytes = system.cat_file(path, end=MAX_BYTES + 1)
    except Exception as error:  # of the library of the storage
        if isinstance(error, MemoryError):
            raise
        if _codes(error) & _NO_BYTES:
            raise _empty(source) from None
        raise RadiographError(
            f"{public_url(source)}: cannot be read ({reason(error)}); check the file"
        ) from None
    if not content:
        raise _empty(source)
    check_bytes(public_url(source), len(content))
    return content


def _empty(source: str) -> RadiographError:
    return RadiographError(f"{public_url(source)}: is empty (0 bytes); copy or export it again")


class Storage:
    """A folder of results. All methods raise OutputError if the storage refuses."""

    def __init__(self, url: str) -> None:
        self._system, self._root = file_system(absolute(url))
        self.url = absolute(url).rstrip("/")
        protocol = self._system.protocol
        self.local = Path(self._root) if "file" in (protocol, *protocol) else None

    def place(self, name: str) -> str:
        """The URL of a file."""
        return f"{self.url}/{name}"

    def read(self, name: str) -> bytes | None:
        """The content of a file; None if there is none."""

        def content() -> bytes | None:
            try:
                return bytes(self._system.cat_file(f"{self._root}/{name}"))
            except FileNotFoundError:
                return None

        return self._tried("read", name, content)

    def write(self, name: str, content: bytes) -> None:
        """Write a file as a whole: it is never seen in part."""
        if self.local is not None:
            with whole_file(self._made(name)) as temporary:
                temporary.write_bytes(content)
        else:
            place = f"{self._root}/{name}"
            self._tried("written", name, lambda: self._system.pipe_file(place, content))

    def put(self, file: Path, name: str) -> None:
        """Copy a local file, as a whole."""
        if self.local is not None:
            with whole_file(self._made(name)) as temporary:
                shutil.copyfile(file, temporary)
        else:
            place = f"{self._root}/{name}"
            self._tried("written", name, lambda: self._system.put_file(str(file), place))

    def names(self, folder: str) -> list[str]:
        """The names of the files in a folder, sorted; none if there is no folder."""

        def found() -> list[str]:
            try:
                self._system.invalidate_cache()
                places = self._system.ls(f"{self._root}/{folder}", detail=True)
            except FileNotFoundError:
                return []
            files = (str(place["name"]) for place in places if place["type"] == "file")
            return sorted(file.rpartition("/")[2] for file in files)

        return self._tried("listed", folder, found)

    def remove(self, name: str) -> None:
        """Remove a file, or a folder with all that is in it, if it is there."""

        def removed() -> None:
            with suppress(FileNotFoundError):
                self._system.rm(f"{self._root}/{name}", recursive=True)

        self._tried("removed", name, removed)

    def remove_files(self, names: Sequence[str]) -> None:
        """Remove files that are there: in a bucket, many with one request."""
        places = [f"{self._root}/{name}" for name in names]
        self._tried("removed", names[0], lambda: self._system.rm(places))

    def _made(self, name: str) -> Path:
        """The path of a local file, in a folder that exists."""
        path = Path(self._root) / name
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise unwritable(path, error) from None
        return path

    def _tried(self, verb: str, name: str, act: Callable[[], T]) -> T:
        try:
            return act()
        except Exception as error:  # of the library of the storage
            where, why = public_url(self.place(name)), reason(error)
            what = "--out and its free space" if verb == "written" else "--out"
            raise OutputError(f"{where}: cannot be {verb} ({why}); check {what}") from None
