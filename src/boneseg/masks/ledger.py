"""What boneseg has written into a folder of results, so that nothing drawn there by hand is lost.

    ledger = Ledger(Path("out/segment.json"), entries)
    ledger.is_foreign("knee_mask.png")     # a file that no call has written
    ledger.is_changed("knee_mask.png")     # or that somebody has changed since
    ledger.begin(["knee_mask.png"])        # before it is written
    ledger.note("knee_mask.png")           # when it is there: its digest, for the report
    ledger.close({"knee_mask.png"})        # when the report lists it

The report lists the files of each call that came to its end, with their digests. Those of a call
that was killed are in a file beside it, so that the next call can replace them:

    out/.segment.json.begun    ["knee_mask.png", "hip_mask.png"]     what it was about to write
                               ["knee_mask.png", "0123456789abcdef"] and a line for each that it did
"""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Collection, Iterable
from contextlib import suppress
from pathlib import Path

from boneseg._util.files import CLUTTER, LARGEST_REPORT, file_digest, read_bytes, whole_file
from boneseg.errors import OutputError
from boneseg.radiograph.provenance import ReportEntry

_DIGITS = 16  # of a digest; a change by hand need not be hidden
_MOST = 2**32  # bytes of a file
_CHANGED = ""  # the digest of no file


def digest_of(path: Path) -> str | None:
    """The digest of a file, or of a folder of masks with their names.

    None where there is none, or where it cannot be read: nobody has drawn there.
    """
    with suppress(OSError, ValueError):  # ValueError: no name of a file
        if not path.is_dir():
            return file_digest(path, _MOST)[:_DIGITS]
        files = sorted(file for file in path.iterdir() if file.name not in CLUTTER)
        parts = [f"{file.name}\0{file_digest(file, _MOST)}" for file in files]
        named = "\0".join(parts).encode(errors="surrogateescape")
        return hashlib.sha256(named).hexdigest()[:_DIGITS]
    return None


class Ledger:
    """The files of a folder of results by name, with their digests.

    Entries of the report that have no digests are given them: of files that are not younger than
    it. Any thread may ask; one alone may call the other methods.
    """

    def __init__(self, report: Path, entries: Iterable[ReportEntry]) -> None:
        self._folder, self._report = report.parent, report
        self._path = report.with_name(f".{report.name}.begun")
        self._known = defaultdict[str, set[str]](set)  # digests
        self._begun: set[str] = set()
        self._read()
        for entry in entries:
            digests = {
                kind: entry.digests[kind] if kind in entry.digests else self._digest_by_time(name)
                for kind, name in entry.outputs.items()
            }
            entry.facts["digests"] = digests
            for kind, name in entry.outputs.items():
                self._known[name].add(digests[kind])

    def is_foreign(self, name: str) -> bool:
        """Whether there is a file that no call has written."""
        ours = name in self._known or name in self._begun
        return not ours and (self._folder / name).exists()

    def is_changed(self, name: str) -> bool:
        """Whether there is a file of an earlier call that somebody has changed."""
        known = self._known.get(name)
        return known is not None and digest_of(self._folder / name) not in {None, *known}

    def begin(self, names: Iterable[str]) -> None:
        """List files that are about to be written."""
        self._begun.update(names)
        self._write(self._begun)

    def note(self, name: str) -> str:
        """The digest of a file that was written."""
        digest = digest_of(self._folder / name) or _CHANGED
        self._known[name] = {digest}
        with suppress(OSError), self._path.open("a", encoding="ascii") as file:
            file.write(json.dumps([name, digest]) + "\n")
        return digest

    def close(self, listed: Collection[str]) -> None:
        """End a call: `listed` files are in the report. Others of it, or of a killed one, stay."""
        left = {name for name in self._begun - set(listed) if (self._folder / name).exists()}
        if left:
            self._write(left)
        else:
            with suppress(OSError):
                self._path.unlink()

    def _write(self, names: Iterable[str]) -> None:
        """Replace the list, where the folder can be written: its first result will say if not."""
        kept = sorted(names)
        noted = [[name, digest] for name in kept for digest in self._known.get(name, ())]
        text = "".join(json.dumps(one) + "\n" for one in [kept, *noted])
        with suppress(OutputError), whole_file(self._path) as temporary:
            temporary.write_text(text, encoding="ascii")

    def _read(self) -> None:
        """Read the list of a killed call; its last line may be half written."""
        with suppress(OSError, ValueError, TypeError, RecursionError):
            names, *noted = read_bytes(self._path, LARGEST_REPORT).splitlines()
            self._begun |= {name for name in json.loads(names) if isinstance(name, str)}
            for line in noted:
                name, digest = json.loads(line)
                self._known[str(name)].add(str(digest))

    def _digest_by_time(self, name: str) -> str:
        """The digest of a file that the report lists without one."""
        path = self._folder / name
        if name != path.name or name == "..":  # a report of somebody else, on other folders
            return _CHANGED
        try:
            files = [path, *path.iterdir()] if path.is_dir() else [path]
            changed = max(file.stat().st_mtime_ns for file in files)
            by_somebody = changed > self._report.stat().st_mtime_ns
        except (OSError, ValueError):
            return _CHANGED
        return _CHANGED if by_somebody else digest_of(path) or _CHANGED
