"""Unsaved changes to masks: DATA/.boneseg/drafts/<film>.bits.gz."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from boneseg._util.files import whole_file

_SUFFIX = ".bits.gz"


@dataclass(frozen=True)
class Drafts:
    """The drafts of one data folder, by the film's id."""

    root: Path

    def of(self, film: str) -> Path | None:
        """The file of a film's draft (gzipped bits), None where there is none."""
        path = self._path(film)
        return path if path.is_file() else None

    def write(self, film: str, bits: bytes) -> None:
        """Store gzipped bits as a film's draft. Raises OutputError."""
        with whole_file(self._path(film)) as temporary:
            temporary.write_bytes(bits)

    def delete(self, film: str) -> None:
        """Delete a film's draft, if there is one."""
        with suppress(OSError):
            self._path(film).unlink()

    def films(self) -> list[str]:
        """The ids of the films that have a draft."""
        return [path.name.removesuffix(_SUFFIX) for path in self.root.glob(f"[0-9a-f]*{_SUFFIX}")]

    def _path(self, film: str) -> Path:
        return self.root / f"{film}{_SUFFIX}"
