"""What boneseg has written into a folder of results, so that nothing drawn there by hand is lost.

    begun = Begun(folder / "segment.json")
    begun.write({"knee_mask.png"})            # before the first of the files is written
    begun.remove()                            # when the report lists them, with their digests

The report lists the files of every call that came to its end. Those of a call that was killed are
listed beside it, so that the next call can replace them.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from boneseg._util.files import LARGEST, file_digest, read_bytes, read_json, whole_file
from boneseg.errors import OutputError

_DIGITS = 16  # of a digest; a change by hand need not be hidden
_MOST = 2**32  # bytes of a file


def digest_of(path: Path) -> str | None:
    """The digest of a file, or of a folder of masks with their names.

    None where there is none, or where it cannot be read: nobody has drawn there.
    """
    with suppress(OSError):
        if not path.is_dir():
            return file_digest(path, _MOST)[:_DIGITS]
        files = sorted(file for file in path.iterdir() if file.is_file())
        parts = [f"{file.name}\0{file_digest(file, _MOST)}" for file in files]
        named = "\0".join(parts).encode(errors="surrogateescape")
        return hashlib.sha256(named).hexdigest()[:_DIGITS]
    return None


class Begun:
    """The names of the files that a call is about to write; they outlast a killed call.

    earlier: those of such a call.
    """

    def __init__(self, report: Path) -> None:
        self._path = report.with_name(f".{report.name}.begun")
        self.earlier = self._read()

    def write(self, names: Iterable[str]) -> None:
        """List the names, where the folder can be written: its first result will say if not."""
        with suppress(OutputError), whole_file(self._path) as temporary:
            temporary.write_text(json.dumps(sorted(names)), encoding="ascii")

    def remove(self) -> None:
        """Remove the list, as the report has all of its files."""
        with suppress(OSError):
            self._path.unlink()

    def _read(self) -> frozenset[str]:
        with suppress(OSError, ValueError):  # there is none, or it is not a list
            names = read_json(read_bytes(self._path, LARGEST))
            if isinstance(names, list):
                return frozenset(name for name in names if isinstance(name, str))
        return frozenset()
