"""Unsaved changes to masks: DATA/.boneseg/drafts/<film>.bits.gz.

The name in the header of the gzipped file (RFC 1952, 2.3.1) says what a draft was drawn on, so that
it is never restored on another film, or saved over another mask.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from boneseg._util.files import whole_file

_SUFFIX = ".bits.gz"
_HEAD = 10  # bytes of a gzip header
_FLAGS, _NAMED = 3, 8  # the place of its flags, and the one for a name
_LONGEST = 200  # bytes of a name


@dataclass(frozen=True)
class Origin:
    """What a draft was drawn on.

    revision: of the film's mask. stamp: of its file. height, width: of the film, px.
    """

    revision: str
    stamp: str
    height: int
    width: int

    def into(self, packed: bytes) -> bytes:
        """Gzipped bytes without a name, with this as their name."""
        words = f"{self.revision} {self.stamp} {self.height} {self.width}"
        name = words.encode("latin-1", errors="replace")[:_LONGEST].replace(b"\0", b"?") + b"\0"
        flags = bytes([packed[_FLAGS] | _NAMED])
        return packed[:_FLAGS] + flags + packed[_FLAGS + 1 : _HEAD] + name + packed[_HEAD:]

    @classmethod
    def of(cls, packed: bytes) -> Origin | None:
        """That of gzipped bytes, of which the first are enough; None where they have none."""
        if len(packed) <= _HEAD or packed[_FLAGS] != _NAMED:
            return None
        words = packed[_HEAD:].partition(b"\0")[0].decode("latin-1").split(" ")
        if len(words) != 4 or not all(word.isascii() and word.isdigit() for word in words[2:]):
            return None
        return cls(words[0], words[1], int(words[2]), int(words[3]))


@dataclass(frozen=True)
class Drafts:
    """The drafts of one data folder, by the film's id."""

    root: Path

    def of(self, film: str) -> Path | None:
        """The file of a film's draft (gzipped bits), None where there is none."""
        path = self._path(film)
        return path if path.is_file() else None

    def origin(self, film: str) -> Origin | None:
        """What a film's draft was drawn on; None where there is none, or it does not say."""
        with suppress(OSError), self._path(film).open("rb") as file:
            return Origin.of(file.read(_HEAD + _LONGEST + 1))
        return None

    def write(self, film: str, bits: bytes, origin: Origin) -> None:
        """Store gzipped bits as a film's draft. Raises OutputError."""
        with whole_file(self._path(film)) as temporary:
            temporary.write_bytes(origin.into(bits))

    def delete(self, film: str) -> None:
        """Delete a film's draft, if there is one."""
        with suppress(OSError):
            self._path(film).unlink()

    def films(self) -> list[str]:
        """The ids of the films that have a draft."""
        return [path.name.removesuffix(_SUFFIX) for path in self.root.glob(f"[0-9a-f]*{_SUFFIX}")]

    def _path(self, film: str) -> Path:
        return self.root / f"{film}{_SUFFIX}"
