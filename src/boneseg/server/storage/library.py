"""A data folder as a list of films with a state, and saving with a history.

    DATA/images/knee.dcm, DATA/masks/knee.png       the dataset, as every other verb reads it
    DATA/.boneseg/history/<film>/                   every mask ever saved: history.py
    DATA/.boneseg/drafts/                           unsaved changes
    DATA/.boneseg/inbox/                            uploaded films, until they are saved
    DATA/.boneseg/states.json                       which masks are corrected, and which accepted
    DATA/.boneseg/gone.json                         when films were removed: retention.py

A film's revision is the digest of its mask file, so an external change is detected like one from
another tab. States are stored by film and revision: a mask that the light box did not write was
made by a person, and counts as accepted.
"""

from __future__ import annotations

import hashlib
import json
import secrets
import threading
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from boneseg._util.files import real_path, same_place, sweep, whole_file
from boneseg.dataset.open import films_and_masks
from boneseg.dataset.pairing import mask_files
from boneseg.errors import DatasetError, OutputError, UsageError
from boneseg.masks.filenames import stem_of
from boneseg.server.encoding import Mask, packed_mask, png_mask
from boneseg.server.errors import ConflictError, NotFoundError
from boneseg.server.storage.cache import Cache
from boneseg.server.storage.filenames import free_name, safe_name
from boneseg.server.storage.folder import HIDDEN, layout, refuse_annotations
from boneseg.server.storage.history import History, digest
from boneseg.server.storage.retention import Gone, private_folder
from boneseg.server.workers.tasks import Facts, Hand

State = Literal["unlabelled", "suggested", "corrected", "accepted"]
NONE = "none"  # the revision of a film without a mask


@dataclass(frozen=True)
class Entry:
    """A film of the library."""

    id: str  # 12 hex digits, from its name
    name: str
    image: Path
    mask: Path | None
    inbox: bool  # uploaded, and not saved yet
    fault: str | None = None  # why its mask is ambiguous

    def check_clear(self) -> None:
        """Raise DatasetError where the film's mask is ambiguous."""
        if self.fault is not None:
            raise DatasetError(self.fault)

    @property
    def stamp(self) -> str:
        """Modification time and size of the film's file. Raises NotFoundError if it was removed."""
        try:
            told = self.image.stat()
        except OSError:
            raise NotFoundError(f"{self.name}: the film was removed from the folder") from None
        return f"{told.st_mtime_ns}-{told.st_size}"


class Library:
    """The films of one folder. Thread-safe."""

    def __init__(self, root: Path) -> None:
        if root.exists() and not root.is_dir():
            raise UsageError(f"{root}: is not a folder; give --data a folder of films")
        self.root = root
        self.images, self.masks = layout(root)
        self.hidden = root / HIDDEN
        self.inbox = self.hidden / "inbox"
        self.drafts = self.hidden / "drafts"
        self.cache = Cache(self.hidden / "cache")
        self.history = History(self.hidden / "history")
        try:
            for folder in (self.images, self.masks):
                if not folder.is_dir():
                    private_folder(folder)
            for folder in (self.hidden, self.inbox, self.drafts, self.cache.root):
                private_folder(folder)
        except OSError as error:
            reason = f"cannot be written ({error.strerror})"
            raise OutputError(f"{root}: {reason}; give --data a writable folder") from None
        refuse_annotations(self.masks)
        self.version = secrets.randbelow(2**32)  # increases with every change
        self._lock = threading.RLock()
        self._digests: dict[Path, tuple[tuple[int, int], str]] = {}
        self._states = self._read_states()
        self._seen: tuple[int, ...] = ()
        self._written: list[int] = []  # modification time of each mask
        self._entries: list[Entry] = []
        self._gone = Gone(self.hidden / "gone.json")
        self._tidied = -1  # the version that `notice` cleaned up last

    @property
    def name(self) -> str:
        """The folder's name, also where it is given as "." or is a file system root."""
        root = real_path(self.root)
        return root.name or str(root)

    # -- listing ------------------------------------------------------------------------------

    def entries(self) -> list[Entry]:
        """All films by name, those of the inbox first. Raises DatasetError for a missing folder."""
        with self._lock:
            folders = tuple(_changed(f) for f in (self.images, self.masks, self.inbox))
            if folders != self._seen[1:]:  # by this server or another program
                self.version += 1
            if (self.version, *folders) != self._seen:
                pairs, faults = films_and_masks(self.images, self.masks)
                known: dict[str, Entry] = {}  # of films with the same name, the first is listed
                for path, mask in pairs.items():
                    entry = _entry(path, mask, fault=faults.get(path))
                    known.setdefault(entry.id, entry)
                kept, taken = list(known.values()), known.keys()
                dropped = [_entry(path, None, inbox=True) for path in _dropped(self.inbox)]
                self._entries = [entry for entry in dropped if entry.id not in taken] + kept
                self._seen = (self.version, *folders)
            return self._entries

    def notice(self) -> None:
        """Detect masks rewritten in place, which does not change the folder's modification time.

        Raises DatasetError as `entries` does.
        """
        with self._lock:
            entries = self.entries()
            written = [_changed(entry.mask) for entry in entries if entry.mask is not None]
            if written != self._written:
                self.version += 1
                self._written = written
            if self.version != self._tidied:
                self._tidied = self.version
                self._tidy(entries)

    def begin(self) -> int:
        """Clean up after a killed server, and delete the expired data of removed films.

        Only for the server that holds the folder. Returns the number of expired films.
        """
        with self._lock:
            hidden = (path for path in self.hidden.rglob("*") if path.is_dir())
            for folder in (self.images, self.masks, self.hidden, *hidden):
                sweep(folder)
            with suppress(DatasetError):  # then removed films are unknown
                self._tidy(self.entries())
            expired = self._gone.expired()
            for film in expired:
                self._drop_drawn(film)
            return len(expired)

    def entry(self, film: str) -> Entry:
        """The film with this id. Raises NotFoundError."""
        for entry in self.entries():
            if entry.id == film:
                return entry
        raise NotFoundError("no such film, or it was removed; reload the list")

    def revision(self, entry: Entry) -> str:
        """The digest of the film's mask, or NONE."""
        if entry.mask is None:
            return NONE
        try:
            told = entry.mask.stat()
            key = (told.st_mtime_ns, told.st_size)
            known = self._digests.get(entry.mask)
            if known is None or known[0] != key:
                known = (key, digest(entry.mask.read_bytes()))
                self._digests[entry.mask] = known
        except OSError:
            return NONE
        return known[1]

    def state(self, entry: Entry, facts: Facts | None) -> State:
        revision = self.revision(entry)
        if revision == NONE:
            return "unlabelled" if facts is None else "suggested"
        corrected = self._states.get(f"{entry.id}-{revision}") == "corrected"
        return "corrected" if corrected else "accepted"

    def hand(self, entry: Entry) -> Hand:
        """Who made the film's mask: the model, a person, or both (a corrected suggestion)."""
        revision = self.revision(entry)
        if revision == NONE:
            return "model"
        return "both" if f"{entry.id}-{revision}" in self._states else "person"

    def accepted(self) -> list[Entry]:
        """The films whose mask is accepted."""
        return [entry for entry in self.entries() if self.state(entry, None) == "accepted"]

    # -- saving -------------------------------------------------------------------------------

    def save(self, film: str, mask: Mask, state: State, seen: str) -> tuple[Entry, str]:
        """Write a film's mask into the dataset; returns the updated entry and its revision.

        seen: the revision that the mask is based on. Raises ConflictError where another mask was
        saved since, and OutputError where the mask cannot be written or the previous one cannot
        be removed; the previous one then stays.
        """
        if state not in ("corrected", "accepted"):
            raise UsageError(f"state {state!r}: a mask is saved as corrected or accepted")
        with self._lock:
            entry = self.entry(film)
            entry.check_clear()
            now = self.revision(entry)
            if seen != now:
                raise ConflictError(
                    f"{entry.name}: was saved elsewhere after you opened it; compare both, "
                    "then save again"
                )
            encoded = png_mask(mask)
            revision = digest(encoded)
            target = self.masks / f"{stem_of(entry.image)}.png"
            self.history.remember(entry.name, entry.mask)
            self.history.remember(entry.name, target)  # written meanwhile by another program
            self.history.add(entry.name, revision, png_mask(mask, small=True), ".png")
            self._set_state(f"{film}-{revision}", state)
            image = self._into_dataset(entry) if entry.inbox else entry.image
            with whole_file(target) as temporary:
                temporary.write_bytes(encoded)
                if entry.mask is not None and not same_place(entry.mask, target):
                    _remove_replaced(entry.mask)  # or the film would have two masks
            self.drop_draft(film)
            self.version += 1
            return Entry(entry.id, entry.name, image, target, False), revision

    def keep_draft(self, film: str, mask: Mask) -> None:
        """Store unsaved changes as a draft. Raises OutputError and NotFoundError."""
        packed = packed_mask(mask)
        with self._lock, whole_file(self._draft(self.entry(film).id)) as temporary:
            temporary.write_bytes(packed)

    def draft(self, film: str) -> Path | None:
        """The file of the draft (gzipped bits), None where there is none."""
        return self._draft(film) if self._draft(film).is_file() else None

    def drop_draft(self, film: str) -> None:
        with suppress(OSError):
            self._draft(film).unlink()

    # -- adding and removing films ------------------------------------------------------------

    def drop(self, name: str, path: Path) -> Entry:
        """Move an uploaded film into the inbox under a unique name. Raises OutputError."""
        with self._lock:
            stem, suffix = safe_name(name, path)
            taken = [entry.name for entry in self.entries()]
            taken += [mask.name for mask in mask_files(self.masks)]  # also without a film
            target = self.inbox / f"{free_name(stem, taken)}{suffix}"
            try:
                path.replace(target)
            except OSError as error:
                reason = f"cannot be stored ({error.strerror})"
                raise OutputError(f"{name}: {reason}; free space in {self.root}") from None
            self.version += 1
            return _entry(target, None, inbox=True)

    def remove(self, film: str) -> None:
        """Remove a film from the inbox, with its results and masks.

        Raises ConflictError for a film of the dataset.
        """
        with self._lock:
            entry = self.entry(film)
            if not entry.inbox:
                raise ConflictError(f"{entry.name}: belongs to the dataset; remove its file there")
            try:
                entry.image.unlink(missing_ok=True)
            except OSError as error:
                reason = f"cannot be removed ({error.strerror})"
                raise OutputError(f"{entry.name}: {reason}; make its folder writable") from None
            self.cache.forget(film)
            self._drop_drawn(film)
            self.version += 1

    # -- helpers ------------------------------------------------------------------------------

    def _into_dataset(self, entry: Entry) -> Path:
        target = self.images / entry.image.name
        try:
            entry.image.replace(target)  # one file system: atomic
        except OSError as error:
            reason = f"cannot be written ({error.strerror})"
            raise OutputError(f"{target.name}: {reason}; free space in {self.root}") from None
        return target

    def _tidy(self, entries: list[Entry]) -> None:
        """Delete the cached results of removed films, and record when they were removed."""
        present = {entry.id for entry in entries}
        with suppress(OSError):
            for folder in self.cache.root.iterdir():
                if folder.name not in present:
                    self.cache.forget(folder.name)
        drawn = {_id(name) for name in self.history.films()}
        drawn |= {path.name.partition(".")[0] for path in self.drafts.glob("[0-9a-f]*.bits.gz")}
        self._gone.note(drawn, present)

    def _drop_drawn(self, film: str) -> None:
        """Delete a film's draft and every version of its mask."""
        self.drop_draft(film)
        for name in self.history.films():
            if _id(name) == film:
                self.history.remove(name)
        self._keep_states({k: v for k, v in self._states.items() if not k.startswith(f"{film}-")})

    def _draft(self, film: str) -> Path:
        return self.drafts / f"{film}.bits.gz"

    def _read_states(self) -> dict[str, str]:
        try:
            found = json.loads((self.hidden / "states.json").read_text(encoding="utf-8"))
            return {str(revision): str(state) for revision, state in found.items()}
        except (OSError, ValueError, AttributeError):
            return {}

    def _set_state(self, key: str, state: State) -> None:
        self._keep_states(self._states | {key: state})

    def _keep_states(self, states: dict[str, str]) -> None:
        if states == self._states:
            return
        with whole_file(self.hidden / "states.json") as temporary:
            temporary.write_text(json.dumps(states, indent=0) + "\n", encoding="utf-8")
        self._states = states


def _entry(
    path: Path, mask: Path | None, *, inbox: bool = False, fault: str | None = None
) -> Entry:
    name = stem_of(path)
    return Entry(_id(name), name, path, mask, inbox, fault)


def _id(name: str) -> str:
    return hashlib.sha256(name.casefold().encode(errors="surrogateescape")).hexdigest()[:12]


def _remove_replaced(mask: Path) -> None:
    """Remove the previous mask, which is in the history. Raises OutputError."""
    try:
        mask.unlink(missing_ok=True)
    except OSError as error:
        reason = f"the previous mask cannot be removed ({error.strerror})"
        raise OutputError(f"{mask.name}: {reason}; make its folder writable") from None


def _changed(path: Path) -> int:
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return 0


def _dropped(inbox: Path) -> list[Path]:
    try:
        return sorted(path for path in inbox.iterdir() if not path.name.startswith("."))
    except OSError:
        return []
