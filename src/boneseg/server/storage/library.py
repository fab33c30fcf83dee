"""A data folder as a list of films with a state, and saving with a history.

DATA/images/knee.dcm, DATA/masks/knee.png       the dataset, as every other verb reads it
DATA/.boneseg/history/<film>/                   every mask ever saved: history.py
DATA/.boneseg/drafts/                           unsaved changes: drafts.py
DATA/.boneseg/measures/                         lengths and angles: measures.py
DATA/calibration.csv                            widths of pixels: radiograph/calibration.py
DATA/.boneseg/inbox/                            uploaded films, until they are saved
DATA/.boneseg/states.json                       the states of masks: mask_states.py
DATA/.boneseg/gone.json                         when films were removed: retention.py
"""

from __future__ import annotations

import secrets
import threading
from contextlib import suppress
from pathlib import Path

from boneseg._util.files import HIDDEN, real_path, same_place, sweep, whole_file
from boneseg.dataset.open import films_and_masks
from boneseg.dataset.pairing import mask_files
from boneseg.errors import DatasetError, OutputError, RadiographError, UsageError
from boneseg.masks.filenames import stem_of
from boneseg.masks.measures.geometry import Measure
from boneseg.radiograph.calibration import (
    CALIBRATION,
    Calibration,
    calibration_of,
    set_calibration,
)
from boneseg.server.encoding import Mask, packed_mask, png_mask
from boneseg.server.errors import ConflictError, NotFoundError
from boneseg.server.storage.cache import Cache
from boneseg.server.storage.drafts import Drafts, Origin
from boneseg.server.storage.entry import Entry, State, film_id
from boneseg.server.storage.filenames import free_name, safe_name
from boneseg.server.storage.folder import layout, make_private, refuse_annotations
from boneseg.server.storage.history import History, Signature, digest
from boneseg.server.storage.mask_states import NO_MASK, MaskStates, Revisions
from boneseg.server.storage.measures import NO_MEASURES, FilmMeasures, MeasureFiles
from boneseg.server.storage.records import Saved, SavedMask
from boneseg.server.storage.results import Author
from boneseg.server.storage.retention import RemovedFilms


class Library:
    """The films of one folder. Thread-safe.

    Raises UsageError for a folder that is not a dataset, OutputError for one that cannot be
    written, and ServerError for damaged records.
    """

    def __init__(self, root: Path) -> None:
        if root.exists() and not root.is_dir():
            raise UsageError(f"{root}: is not a folder; give --data a folder of films")
        self.root = root
        self.images, self.masks = layout(root)
        self.hidden = root / HIDDEN
        self.inbox = self.hidden / "inbox"
        self.drafts = Drafts(self.hidden / "drafts")
        self.measures = MeasureFiles(self.hidden / "measures")
        self._calibrated = root, self.images, self.inbox  # folders that may have a table
        self.cache = Cache(self.hidden / "cache")
        self.history = History(self.hidden / "history")
        own = (
            *(self.hidden, self.inbox, self.drafts.root, self.cache.root),
            self.measures.root,
        )
        make_private(root, datasets=(self.images, self.masks), own=own)
        refuse_annotations(self.masks)
        self.version = secrets.randbelow(2**32)  # increases with every change
        self._lock = threading.RLock()
        self._revisions = Revisions()
        self._states = MaskStates(self.hidden / "states.json")
        self._removed = RemovedFilms(self.hidden / "gone.json")
        self._entries: list[Entry] = []
        self._listed: tuple[int, ...] = ()  # version and folder times of `_entries`
        self._file_times: list[int] = []
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
            times = tuple(_modified(f) for f in (self.images, self.masks, self.inbox))
            if times != self._listed[1:]:  # changed by this server or another program
                self.version += 1
            if (self.version, *times) != self._listed:
                self._entries = self._list()
                self._listed = (self.version, *times)
            return self._entries

    def _list(self) -> list[Entry]:
        pairs, faults = films_and_masks(self.images, self.masks)
        dataset: dict[str, Entry] = {}  # of films with the same name, the first is listed
        for path, mask in pairs.items():
            entry = Entry.of(path, mask, fault=faults.get(path))
            dataset.setdefault(entry.id, entry)
        uploaded = [Entry.of(path, None, inbox=True) for path in _visible_files(self.inbox)]
        return [entry for entry in uploaded if entry.id not in dataset] + list(dataset.values())

    def notice(self) -> None:
        """Detect masks and tables of calibrations that another program rewrote in place.

        That does not change the folder's modification time.

        Raises DatasetError as `entries` does.
        """
        with self._lock:
            entries = self.entries()
            times = [_modified(entry.mask) for entry in entries if entry.mask is not None]
            times += [_modified(folder / CALIBRATION) for folder in self._calibrated]
            if times != self._file_times:
                self.version += 1
                self._file_times = times
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
            expired = self._removed.expired()
            for film in expired:
                self._delete_drawn(film)
            return len(expired)

    def entry(self, film: str) -> Entry:
        """The film with this id. Raises NotFoundError."""
        for entry in self.entries():
            if entry.id == film:
                return entry
        raise NotFoundError("no such film, or it was removed; reload the list")

    def revision(self, entry: Entry) -> str:
        """The digest of the film's mask, or NO_MASK."""
        return self._revisions.of(entry.mask)

    def state(self, entry: Entry, *, segmented: bool = False) -> State:
        """The state of a film; `segmented`: whether the model has suggested a mask."""
        revision = self.revision(entry)
        if revision == NO_MASK:
            return "suggested" if segmented else "unlabelled"
        saved = self._states.of(entry.id, revision)
        return saved.state if saved is not None else "accepted"

    def author(self, entry: Entry) -> Author:
        """Who made the film's mask: the model, a person, or both (a corrected suggestion)."""
        revision = self.revision(entry)
        if revision == NO_MASK:
            return "model"
        return "person" if self._states.of(entry.id, revision) is None else "both"

    def is_drawn(self, entry: Entry) -> bool:
        """Whether a person drew the film's mask or changed it, rather than only accepting it.

        A mask written by another program counts as drawn, unless a model has answered the same.
        """
        revision = self.revision(entry)
        saved = self._states.of(entry.id, revision)
        if saved is None:
            return revision != NO_MASK and revision not in self.cache.answers(entry.id)
        return saved.drawn is True

    def calibration(self, entry: Entry) -> Calibration | None:
        """The user's calibration of a film. Raises RadiographError for a damaged table."""
        return calibration_of(entry.image)

    def calibrate(self, entry: Entry, calibration: Calibration | None) -> None:
        """Set or remove the calibration of a film. Raises RadiographError and OutputError."""
        with self._lock:
            set_calibration(entry.image, entry.name, calibration)
            self.version += 1

    def accepted(self) -> list[Entry]:
        """The films whose mask is accepted."""
        return [entry for entry in self.entries() if self.state(entry) == "accepted"]

    # -- saving -------------------------------------------------------------------------------

    def save(
        self,
        film: str,
        mask: Mask,
        state: Saved,
        seen: str,
        *,
        drawn: bool = True,
        by: str = "",
    ) -> tuple[Entry, str]:
        """Write a film's mask into the dataset; returns the updated entry and its revision.

        seen: the revision that the mask is based on. drawn: whether a person drew in it, False
        for a model's own answer. by: the reader's name. Raises ConflictError where another mask was
        saved since, and OutputError where the mask cannot be written or the previous one cannot
        be removed; the previous one then stays.
        """
        with self._lock:
            entry = self.entry(film)
            entry.check_clear()
            if seen != self.revision(entry):
                raise ConflictError(
                    f"{entry.name}: was saved elsewhere after you opened it; compare both, "
                    "then save again"
                )
            encoded = png_mask(mask)
            revision = digest(encoded)
            target = self.masks / f"{stem_of(entry.image)}.png"
            self.history.remember(entry.name, entry.mask)
            self.history.remember(entry.name, target)  # written meanwhile by another program
            small, signature = png_mask(mask, small=True), Signature(state=state, by=by)
            self.history.add(entry.name, revision, small, ".png", signature)
            self._states.set(film, revision, SavedMask(state, drawn))
            image = self._into_dataset(entry) if entry.inbox else entry.image
            with whole_file(target) as temporary:
                temporary.write_bytes(encoded)
                if entry.mask is not None and not same_place(entry.mask, target):
                    _remove_replaced(entry.mask)  # or the film would have two masks
            self.drafts.delete(film)
            self.version += 1
            return Entry(entry.id, entry.name, image, target, False), revision

    def _into_dataset(self, entry: Entry) -> Path:
        """Move a film out of the inbox. Raises OutputError."""
        target = self.images / entry.image.name
        try:
            entry.image.replace(target)  # one file system: atomic
        except OSError as error:
            reason = f"cannot be written ({error.strerror})"
            raise OutputError(f"{target.name}: {reason}; free space in {self.root}") from None
        return target

    def keep_draft(self, film: str, mask: Mask, seen: str | None = None) -> None:
        """Store unsaved changes as a draft.

        seen: the revision of the mask that they are based on. Raises OutputError and NotFoundError.
        """
        packed = packed_mask(mask)
        with self._lock:
            entry = self.entry(film)
            based_on = self.revision(entry) if seen is None else seen
            origin = Origin(based_on, entry.stamp, mask.shape[0], mask.shape[1])
            self.drafts.write(entry.id, packed, origin)

    def save_measures(
        self, film: str, drawn: list[Measure], seen: str | None, shape: tuple[int, int] | None
    ) -> FilmMeasures:
        """Replace a film's measures.

        seen: the revision that they are based on. shape: (height, width) of the film, px, where it
        is known. Raises ConflictError where others were saved since, OutputError and NotFoundError.
        """
        with self._lock:
            entry = self.entry(film)
            if (seen or NO_MEASURES) != self.measures.record(film).revision:
                problem = "were changed elsewhere; read them again, and"
                if seen is None:
                    problem = "would be replaced;"
                raise ConflictError(
                    f"{entry.name}: its measures {problem} send the revision you edited (If-Match)"
                )
            return self.measures.write(film, drawn, shape)

    # -- adding and removing films ------------------------------------------------------------

    def add(self, name: str, path: Path) -> Entry:
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
            return Entry.of(target, None, inbox=True)

    def remove(self, film: str) -> None:
        """Remove a film from the inbox, with its results, masks, measures and calibration.

        Raises ConflictError for a film of the dataset, and OutputError.
        """
        with self._lock:
            entry = self.entry(film)
            if not entry.inbox:
                raise ConflictError(f"{entry.name}: belongs to the dataset; remove its file there")
            with suppress(RadiographError):  # a damaged table calibrates no film
                set_calibration(entry.image, entry.name, None)  # not for the next of its name
            try:
                entry.image.unlink(missing_ok=True)
            except OSError as error:
                reason = f"cannot be removed ({error.strerror})"
                raise OutputError(f"{entry.name}: {reason}; make its folder writable") from None
            self.cache.forget(film)
            self._delete_drawn(film)
            self.version += 1

    def _tidy(self, entries: list[Entry]) -> None:
        """Delete the cached results of removed films, and record when they were removed."""
        present = {entry.id for entry in entries}
        with suppress(OSError):
            for folder in self.cache.root.iterdir():
                if folder.name not in present:
                    self.cache.forget(folder.name)
        drawn = {film_id(name) for name in self.history.films()}
        self._removed.update(drawn.union(self.drafts.films(), self.measures.films()), present)

    def _delete_drawn(self, film: str) -> None:
        """Delete a film's draft, its measures and every version of its mask."""
        self.drafts.delete(film)
        self.measures.delete(film)
        for name in self.history.films():
            if film_id(name) == film:
                self.history.remove(name)
        self._states.forget(film)


def _remove_replaced(mask: Path) -> None:
    """Remove the previous mask, which is in the history. Raises OutputError."""
    try:
        mask.unlink(missing_ok=True)
    except OSError as error:
        reason = f"the previous mask cannot be removed ({error.strerror})"
        raise OutputError(f"{mask.name}: {reason}; make its folder writable") from None


def _modified(path: Path) -> int:
    """The modification time of a file or folder, ns; 0 where there is none."""
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return 0


def _visible_files(folder: Path) -> list[Path]:
    try:
        return sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    except OSError:
        return []
