"""The JSON documents of the data folder: see `boneseg._util.documents`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal, Self

from pydantic import Field

from boneseg._util.documents import Document
from boneseg.server.errors import ServerError


class Record(Document):
    """A document of the data folder."""

    @classmethod
    def found(cls, path: Path) -> Self | None:
        """The document in a file, None where there is none. Raises as `load` does."""
        return cls.load(path) if path.exists() else None

    @classmethod
    def load(cls, path: Path) -> Self:
        """The document in a file.

        Raises ServerError for one that is missing, damaged or of a later version.
        """
        try:
            return cls.read(path)
        except OSError as error:
            raise ServerError(f"{path}: cannot be read ({error.strerror})") from None
        except ValueError:
            reason = "is damaged, or was written by a later version of boneseg"
            raise ServerError(f"{path}: {reason}; restore or delete it") from None


Saved = Literal["corrected", "accepted"]


@dataclass(frozen=True)
class SavedMask:
    """A mask that was saved on the page.

    drawn: whether a person changed what a model suggested; None where an earlier version of
    boneseg, which did not record it, saved the mask.
    """

    state: Saved
    drawn: bool | None = None


class States(Record):
    """The saved masks by film id and revision.

    Version 1 was the mapping alone, version 2 had the state alone of each mask.
    """

    VERSION: ClassVar[int] = 3

    states: dict[str, SavedMask] = Field(default_factory=dict)

    @classmethod
    def upgraded(cls, content: dict[str, object]) -> dict[str, object]:
        content = wrapped(content, "states")
        states = content["states"]
        if not isinstance(states, dict):
            return content
        whole = {
            mask: {"state": saved} if isinstance(saved, str) else saved
            for mask, saved in states.items()
        }
        return content | {"states": whole}


class Removals(Record):
    """When each film (by id) that a person drew on was removed, in seconds since 1970.

    Version 1 was the mapping alone.
    """

    VERSION: ClassVar[int] = 2

    since: dict[str, float] = Field(default_factory=dict)

    @classmethod
    def upgraded(cls, content: dict[str, object]) -> dict[str, object]:
        return wrapped(content, "since")


class ChosenModels(Record):
    """The models that the user switched to: folders, relative to `.boneseg` where inside.

    bundle: of the page. api: of /api/segment. None: the one that is used without a choice. Version
    1 had `bundle` alone, for both.
    """

    VERSION: ClassVar[int] = 2

    bundle: str | None
    api: str | None

    @classmethod
    def upgraded(cls, content: dict[str, object]) -> dict[str, object]:
        return {"api": content.get("bundle"), **content} if "bundle" in content else content


def wrapped(content: dict[str, object], field: str) -> dict[str, object]:
    """Convert a document that was the mapping of `field` alone.

    Distinguished by type, since the mapping may have a key of any name.
    """
    return content if isinstance(content.get(field), dict) else {field: content}
