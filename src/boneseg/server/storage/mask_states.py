"""The states of saved masks: corrected or accepted, and whether a person drew in them.

States are stored by film and revision, the digest of the mask file: a mask that the light box did
not write was made by a person, and counts as accepted.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from boneseg.server.storage.history import revision_of
from boneseg.server.storage.records import SavedMask, States

NO_MASK = "none"  # the revision of a film without a mask


class MaskStates:
    """The states of saved masks, stored in the file `record`. Raises ServerError."""

    def __init__(self, record: Path) -> None:
        self._record = record
        self._states = (States.found(record) or States()).states

    def of(self, film: str, revision: str) -> SavedMask | None:
        """How a mask was saved, None where another program wrote it."""
        return self._states.get(f"{film}-{revision}")

    def set(self, film: str, revision: str, saved: SavedMask) -> None:
        """Store the state of a mask. Raises OutputError.

        Who drew a mask is decided when it is first saved: the same pixels saved again stay the
        model's, or a person's.
        """
        known = self.of(film, revision)
        if known is not None:
            saved = replace(saved, drawn=known.drawn)
        self._store(self._states | {f"{film}-{revision}": saved})

    def forget(self, film: str) -> None:
        """Delete the states of a film's masks. Raises OutputError."""
        others = {k: v for k, v in self._states.items() if not k.startswith(f"{film}-")}
        self._store(others)

    def _store(self, states: dict[str, SavedMask]) -> None:
        if states != self._states:
            States(states=states).write(self._record)
            self._states = states


class Revisions:
    """The digests of mask files, which are read again only after a change."""

    def __init__(self) -> None:
        self._known: dict[Path, tuple[tuple[int, int], str]] = {}

    def of(self, mask: Path | None) -> str:
        """The digest of a mask file, NO_MASK where there is none."""
        if mask is None:
            return NO_MASK
        try:
            status = mask.stat()
            key = (status.st_mtime_ns, status.st_size)
            known = self._known.get(mask)
            if known is None or known[0] != key:
                known = self._known[mask] = (key, revision_of(mask))
        except OSError:
            return NO_MASK
        return known[1]
