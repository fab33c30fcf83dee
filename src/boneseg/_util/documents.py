"""JSON documents that boneseg writes and reads back, each a pydantic model.

    class FoldRecord(Document):
        threshold: float
        restarts: int = 0

    FoldRecord(threshold=0.5).write(out / "fold.json")
    record = FoldRecord.read(out / "fold.json")

Old and new versions of boneseg read each other's documents:

- A field that is added later has a default, so that a document without it can be read.
- Unknown fields, which a newer boneseg may write, are ignored.
- `VERSION` of a model rises only where an existing field changes its meaning; a document of a
  higher version is refused. The model converts older forms in `upgraded`.
"""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Self

from pydantic import BaseModel, ConfigDict, model_validator

from boneseg._util.files import read_bytes, read_json, write_json


class Document(BaseModel):
    """The base of all documents; also of objects inside them, which need no version.

    Numbers are finite unless a field allows otherwise. Fields are what JSON can hold, other models,
    and dataclasses; text may hold lone surrogates, as names of files do.
    """

    model_config = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False)

    VERSION: ClassVar[int] = 1

    version: int = 1

    @classmethod
    def upgraded(cls, content: dict[str, object]) -> dict[str, object]:
        """Convert the content of an older version, which may lack its `version`."""
        return content

    @model_validator(mode="before")
    @classmethod
    def _of_a_known_version(cls, content: object) -> object:
        if not isinstance(content, dict):
            return content
        version = content.get("version", cls.VERSION)
        if isinstance(version, int) and version > cls.VERSION:
            raise ValueError(f"version {version} is newer than {cls.VERSION}; update boneseg")
        return {**cls.upgraded(dict(content)), "version": cls.VERSION}

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read a document. Raises OSError, or ValueError where it is damaged or too new."""
        return cls.model_validate(read_json(read_bytes(path)))

    def write(self, path: Path) -> None:
        """Write the document as indented JSON, atomically. Raises OutputError."""
        write_json(path, self.model_dump())  # pydantic's own JSON has no lone surrogates
