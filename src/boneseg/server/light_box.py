"""The light box: a library of films, the workers that segment them, and retraining."""

from __future__ import annotations

import asyncio
import secrets
import shutil
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeVar

import numpy as np
from numpy.typing import NDArray

from boneseg._util.files import real_path
from boneseg._util.logs import log
from boneseg.bundle.card import CARD
from boneseg.bundle.store import Bundle, load_bundle
from boneseg.errors import BonesegError, MaskError
from boneseg.radiograph.calibration import Calibration
from boneseg.server.active_learning import Candidate, appearance, correction_order
from boneseg.server.encoding import Mask, is_threshold_of, png_mask
from boneseg.server.errors import BusyError, page_message
from boneseg.server.retraining.models import Model, Models
from boneseg.server.retraining.supervisor import Retraining
from boneseg.server.storage.entry import Entry, State
from boneseg.server.storage.folder import private_folder
from boneseg.server.storage.history import digest
from boneseg.server.storage.library import Library
from boneseg.server.storage.records import ChosenModels, Saved
from boneseg.server.storage.results import PROBABILITY, THUMBNAIL, Facts, StoredFacts
from boneseg.server.storage.retention import DAYS
from boneseg.server.workers.job_queue import MOST_WAITING, WORKERS, JobQueue
from boneseg.server.workers.tasks import SegmentFilm, Task

SCAN_PAUSE = 0.5  # seconds between two scans for unsegmented films

_FACTS = [name for name in Facts.model_fields if name != "version"]

Result = TypeVar("Result")
Purpose = Literal["page", "api"]


@dataclass(frozen=True)
class FilmRow:
    """A film as the page's list shows it."""

    entry: Entry
    facts: StoredFacts | None  # None where the film is not segmented by the current model
    calibration: Calibration | None  # the user's
    damaged_table: str | None  # why the user's calibration cannot be read
    thumbnail: str | None  # the stamp of the thumbnail, None where there is none
    state: State
    revision: str
    has_draft: bool
    error: str | None

    def to_json(self) -> dict[str, object]:
        return {
            **{name: getattr(self.facts, name, None) for name in _FACTS},
            "calibration": self.calibration and self.calibration.how,
            "calibration_error": self.damaged_table,
            "stamp": self.thumbnail,
            "id": self.entry.id,
            "name": self.entry.name,
            "state": self.state,
            "revision": self.revision,
            "inbox": self.entry.inbox,
            "draft": self.has_draft,
            "clear": self.entry.fault is None,  # whether its mask is unambiguous
            "error": page_message(self.error) if self.error else None,
        }


class LightBox:
    """The state behind the routes.

    model: for the page. api: for /api/segment, the same by default. given: the model that the
    server was started with, if any. keeps: False for a temporary data folder.
    """

    def __init__(
        self,
        library: Library,
        model: Path,
        *,
        api: Path | None = None,
        given: Path | None = None,
        keeps: bool = True,
        most_waiting: int = MOST_WAITING,
        workers: int = WORKERS,
    ) -> None:
        self.library, self.keeps = library, keeps
        self.model: Bundle = load_bundle(model)
        self.api: Bundle = load_bundle(api or model)
        self.jobs = JobQueue(
            self.model.path, self.api.path, most_waiting=most_waiting, workers=workers
        )
        self.retraining = Retraining(library)
        self.models = Models(self.retraining.runs, given and load_bundle(given).path)
        self.failures: dict[str, tuple[str, str]] = {}  # film: (stamp, reason)
        self._appearances: dict[str, tuple[str, NDArray[np.float32]]] = {}  # film: (stamp, ...)
        self._in_progress: dict[str, asyncio.Task[StoredFacts]] = {}  # segmentations
        self.spool = library.hidden / "spool"
        shutil.rmtree(self.spool, ignore_errors=True)  # left by a killed server
        private_folder(self.spool)
        self._expired = library.begin()

    def begin(self) -> None:
        """Resume an interrupted retraining, and log what was cleaned up."""
        if self._expired:
            log.info(f"films removed over {DAYS} days ago: {self._expired}; masks deleted")
        if self.retraining.resume() is not None:
            log.info("resuming the interrupted training")

    @property
    def digest(self) -> str:
        """The digest of the page's model, for the cache."""
        return self.model.card.card_sha256[:12]

    @property
    def model_name(self) -> str:
        """The name of the page's model, as the list of models has it."""
        return self.models.name_of(self.model.path)

    # -- segmenting ---------------------------------------------------------------------------

    def known_facts(self, entry: Entry) -> StoredFacts | None:
        """The facts of a film from the current model, None where it is not segmented."""
        with suppress(BonesegError):
            return self.library.cache.facts(entry.id, entry.stamp, self.digest)
        return None

    def thumbnail_stamp(self, entry: Entry) -> str | None:
        """The stamp of a film's thumbnail, None where there is none."""
        with suppress(BonesegError):
            stamp = entry.stamp
            return stamp if self.library.cache.has_thumbnail(entry.id, stamp) else None
        return None

    async def facts(self, entry: Entry) -> StoredFacts:
        """The facts of a film, segmented only if unknown. Raises as `segment` does."""
        return self.known_facts(entry) or await self.segment(entry)

    async def segment(self, entry: Entry) -> StoredFacts:
        """Segment a film unless all its results are cached.

        Raises what reading it raises, and BusyError.
        """
        facts = self.known_facts(entry)
        if facts is not None and self.library.cache.is_complete(entry.id):
            return facts
        return await self._segment_once(entry)

    async def _segment_once(self, entry: Entry) -> StoredFacts:
        """Segment a film once for all concurrent callers."""
        task = self._in_progress.get(entry.id)
        if task is None:
            task = self._in_progress[entry.id] = asyncio.create_task(self._segment(entry))
            task.add_done_callback(lambda done: self._segmented(entry.id, done))
        return await asyncio.shield(task)

    def _segmented(self, film: str, task: asyncio.Task[StoredFacts]) -> None:
        del self._in_progress[film]
        if not task.cancelled():
            task.exception()  # retrieved even without a waiting caller

    async def _segment(self, entry: Entry) -> StoredFacts:
        cache, stamp = self.library.cache, entry.stamp
        try:
            task = SegmentFilm(entry.image, entry.image.name, cache.folder(entry.id), stamp)
            facts = await self.run(task)
        except BusyError:
            raise
        except BonesegError as error:
            self.failures[entry.id] = (stamp, str(error))
            self.library.version += 1
            raise
        self.failures.pop(entry.id, None)
        cache.add(entry.id, facts)
        self.library.version += 1
        return facts

    async def segment_all(self) -> None:
        """Segment every film, one at a time, while the workers are idle. Never returns."""
        while True:
            entry = self._first_unsegmented() if self.jobs.idle else None
            if entry is None:
                with suppress(BonesegError):
                    await asyncio.to_thread(self.library.notice)  # stats every mask
                await asyncio.sleep(SCAN_PAUSE)
                continue
            with suppress(BonesegError):
                await self._segment_once(entry)

    def _first_unsegmented(self) -> Entry | None:
        with suppress(BonesegError):
            for entry in self.library.entries():
                if self.known_facts(entry) is None and self.failure(entry) is None:
                    return entry
        return None

    def failure(self, entry: Entry) -> str | None:
        """Why segmenting a film failed, None where it did not."""
        stamp, reason = self.failures.get(entry.id, ("", ""))
        with suppress(BonesegError):
            return reason if reason and stamp == entry.stamp else None
        return None

    async def run(self, task: Task[Result]) -> Result:
        """The worker's result of a task. Raises what the task raises, and BusyError."""
        return await asyncio.wrap_future(self.jobs.submit(task))

    # -- listing ------------------------------------------------------------------------------

    def row(self, entry: Entry) -> FilmRow:
        """A film as the list shows it."""
        facts, error = self.known_facts(entry), entry.fault or self.failure(entry)
        calibration, damaged = None, None
        try:
            calibration = self.library.calibration(entry)
        except BonesegError as reason:  # the film is shown, and says so
            damaged = str(reason)
        mm = None if calibration is None else calibration.mm
        return FilmRow(
            entry=entry,
            facts=facts and facts.calibrated(mm),
            calibration=calibration,
            damaged_table=damaged,
            thumbnail=self.thumbnail_stamp(entry),
            state=self.library.state(entry, segmented=facts is not None),
            revision=self.library.revision(entry),
            has_draft=self.library.drafts.of(entry.id) is not None,
            error=error,
        )

    def rows(self) -> list[FilmRow]:
        """Every film as the list shows it."""
        return [self.row(entry) for entry in self.library.entries()]

    def correction_order(self) -> list[str]:
        """The ids of the films without a mask, the most informative first."""
        candidates, labelled = [], []
        for entry in self.library.entries():
            facts = self.known_facts(entry)
            if facts is None:
                continue
            seen = self._appearance(entry, facts)
            if self.library.state(entry, segmented=True) == "suggested":
                candidates.append(Candidate(entry.id, facts.trust, seen))
            else:
                labelled.append(seen)
        return correction_order(candidates, labelled)

    def _appearance(self, entry: Entry, facts: StoredFacts) -> NDArray[np.float32]:
        stamp, known = self._appearances.get(entry.id, ("", None))
        if known is None or stamp != facts.stamp:
            known = appearance(self.library.cache.file(entry.id, THUMBNAIL))
            self._appearances[entry.id] = (facts.stamp, known)
        return known

    # -- saving -------------------------------------------------------------------------------

    def save(
        self, entry: Entry, mask: Mask, state: Saved, seen: str, by: str = ""
    ) -> tuple[Entry, str]:
        """Save a mask, recorded as the model's own where nobody drew in it.

        Raises as `Library.save` does.
        """
        drawn = not self.is_answer(entry, mask)
        return self.library.save(entry.id, mask, state, seen, drawn=drawn, by=by)

    def is_answer(self, entry: Entry, mask: Mask) -> bool:
        """Whether a mask is one that a model suggested, or what a threshold makes of it."""
        facts = self.known_facts(entry)
        if facts is None:
            return False
        if digest(png_mask(mask)) in facts.answers:
            return True
        with suppress(OSError, MaskError):  # evicted from the cache, or damaged there
            packed = self.library.cache.file(entry.id, PROBABILITY).read_bytes()
            return is_threshold_of(mask, packed, entry.name)
        return False

    # -- changing -----------------------------------------------------------------------------

    def remove(self, entry: Entry) -> None:
        """Remove a film from the inbox with its results. Raises as `Library.remove` does."""
        self.library.remove(entry.id)
        self.failures.pop(entry.id, None)
        self._appearances.pop(entry.id, None)

    def use(self, model: Model, purpose: Purpose) -> None:
        """Switch the page or the API to a model, also for the next start. See `load_bundle`."""
        bundle = load_bundle(model.path)
        chosen = ChosenModels.found(_chosen(self.library)) or ChosenModels(bundle=None, api=None)
        field = "bundle" if purpose == "page" else "api"
        place = self._place(model.path)
        chosen.model_copy(update={field: place}).write(_chosen(self.library))
        if purpose == "api":
            self.api = bundle
        else:
            self.model = bundle
            self.failures.clear()
            self.library.version += 1
        self.jobs.use(self.model.path, self.api.path)

    def _place(self, bundle: Path) -> str:
        """A bundle's folder as it is recorded."""
        hidden = self.library.hidden
        inside = bundle.is_relative_to(hidden)
        return bundle.relative_to(hidden).as_posix() if inside else str(real_path(bundle))

    def spooled(self, suffix: str = "") -> Path:
        """A new path for an upload."""
        return self.spool / f".{secrets.token_hex(8)}{suffix}"

    def close(self) -> None:
        self.retraining.close()
        self.jobs.close()
        shutil.rmtree(self.spool, ignore_errors=True)


def chosen_models(library: Library) -> tuple[Path | None, Path | None]:
    """The models chosen for the page and for the API; None where none was, or it was removed.

    Raises ServerError for a damaged record.
    """
    record = ChosenModels.found(_chosen(library)) or ChosenModels(bundle=None, api=None)
    folders = [library.hidden / place if place else None for place in (record.bundle, record.api)]
    page, api = (one if one and (one / CARD).is_file() else None for one in folders)
    return page, api


def _chosen(library: Library) -> Path:
    return library.hidden / "model.json"
