"""The light box: a library, a desk that segments its films, and retraining."""

from __future__ import annotations

import asyncio
import json
import secrets
import shutil
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from boneseg._util.files import whole_file
from boneseg._util.logs import log
from boneseg.bundle.store import CARD, Bundle, load_bundle
from boneseg.errors import BonesegError
from boneseg.server.active_learning import Candidate, appearance, teaching_order
from boneseg.server.errors import BusyError
from boneseg.server.retraining.supervisor import Retraining, Run
from boneseg.server.storage.library import Entry, Library
from boneseg.server.storage.retention import DAYS, private_folder
from boneseg.server.workers.job_queue import WAITING, WORKERS, Desk
from boneseg.server.workers.tasks import THUMBNAIL_FILE, Facts

BREATH = 0.5  # seconds between two scans for unsegmented films


class LightBox:
    """The state behind the routes. `keeps` is False for a temporary data folder."""

    def __init__(
        self,
        library: Library,
        model: Path,
        *,
        keeps: bool = True,
        waiting: int = WAITING,
        workers: int = WORKERS,
    ) -> None:
        self.library, self.keeps = library, keeps
        self.model: Bundle = load_bundle(model)
        self.desk = Desk(self.model.path, waiting=waiting, workers=workers)
        self.retraining = Retraining(library)
        self.failures: dict[str, tuple[str, str]] = {}  # film: (stamp, reason)
        self._looks: dict[str, tuple[str, NDArray[np.float32]]] = {}
        self._looking: dict[str, asyncio.Task[Facts]] = {}  # segmentations in progress
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
        """The model's digest, for the cache."""
        return self.model.card.card_sha256[:12]

    def facts(self, entry: Entry) -> Facts | None:
        """The facts of a film from the current model, None where it is not segmented."""
        with suppress(BonesegError):
            return self.library.cache.facts(entry.id, entry.stamp, self.digest)
        return None

    async def look(self, entry: Entry) -> Facts:
        """Segment a film, unless it is cached. Raises what reading it raises, and BusyError."""
        facts = self.facts(entry)
        if facts is not None and self.library.cache.whole(entry.id):
            return facts
        return await self._look_once(entry)

    async def known(self, entry: Entry) -> Facts:
        """The facts of a film, segmented only if unknown. Raises as `look` does."""
        return self.facts(entry) or await self.look(entry)

    async def _look_once(self, entry: Entry) -> Facts:
        """Segment a film once for all concurrent callers."""
        looking = self._looking.get(entry.id)
        if looking is None:
            looking = self._looking[entry.id] = asyncio.create_task(self._look(entry))
            looking.add_done_callback(lambda done: self._looked(entry.id, done))
        return await asyncio.shield(looking)

    def _looked(self, film: str, looking: asyncio.Task[Facts]) -> None:
        del self._looking[film]
        if not looking.cancelled():
            looking.exception()  # retrieved even without a waiting caller

    async def _look(self, entry: Entry) -> Facts:
        cache, stamp = self.library.cache, entry.stamp
        try:
            waiting = self.desk.submit(
                "look", entry.image.name, entry.image, cache.folder(entry.id), stamp
            )
            facts: Facts = await asyncio.wrap_future(waiting)
        except BusyError:
            raise
        except BonesegError as error:
            self.failures[entry.id] = (stamp, str(error))
            self.library.version += 1
            raise
        self.failures.pop(entry.id, None)
        cache.keep(entry.id, facts)
        self.library.version += 1
        return facts

    async def look_around(self) -> None:
        """Segment every film, one at a time, while the desk is idle. Never returns."""
        while True:
            entry = self._unseen() if self.desk.idle else None
            if entry is None:
                with suppress(BonesegError):
                    await asyncio.to_thread(self.library.notice)  # stats every mask
                await asyncio.sleep(BREATH)
                continue
            with suppress(BonesegError):
                await self._look_once(entry)

    def _unseen(self) -> Entry | None:
        with suppress(BonesegError):
            for entry in self.library.entries():
                if self.facts(entry) is None and self.failure(entry) is None:
                    return entry
        return None

    def failure(self, entry: Entry) -> str | None:
        """Why segmenting a film failed, None where it did not."""
        stamp, why = self.failures.get(entry.id, ("", ""))
        with suppress(BonesegError):
            return why if why and stamp == entry.stamp else None
        return None

    def rows(self) -> list[dict[str, Any]]:
        """Every film as the list shows it; `place` is its rank in `teaching_order`."""
        rows = [self.row(entry) for entry in self.library.entries()]
        places = {film: place for place, film in enumerate(self.teaching_order())}
        for row in rows:
            row["place"] = places.get(row["id"])
        return rows

    def row(self, entry: Entry) -> dict[str, Any]:
        facts = self.facts(entry)
        known = asdict(facts) if facts is not None else dict.fromkeys(Facts.__annotations__)
        return known | {
            "id": entry.id,
            "name": entry.name,
            "state": self.library.state(entry, facts),
            "revision": self.library.revision(entry),
            "inbox": entry.inbox,
            "draft": self.library.draft(entry.id) is not None,
            "clear": entry.fault is None,  # whether its mask is unambiguous
            "error": entry.fault or self.failure(entry),
        }

    def teaching_order(self) -> list[str]:
        """The ids of the films without a mask, the most informative first."""
        candidates, labelled = [], []
        for entry in self.library.entries():
            facts = self.facts(entry)
            if facts is None:
                continue
            if self.library.state(entry, facts) == "suggested":
                candidates.append(Candidate(entry.id, facts.trust, self._appearance(entry, facts)))
            else:
                labelled.append(self._appearance(entry, facts))
        return teaching_order(candidates, labelled)

    def _appearance(self, entry: Entry, facts: Facts) -> NDArray[np.float32]:
        stamp, look = self._looks.get(entry.id, ("", None))
        if look is None or stamp != facts.stamp:
            look = appearance(self.library.cache.file(entry.id, THUMBNAIL_FILE))
            self._looks[entry.id] = (facts.stamp, look)
        return look

    def remove(self, entry: Entry) -> None:
        """Remove a film from the inbox with its results. Raises as `Library.remove` does."""
        self.library.remove(entry.id)
        self.failures.pop(entry.id, None)
        self._looks.pop(entry.id, None)

    def use(self, run: Run) -> None:
        """Switch to the model of a finished run, also for the next start."""
        bundle = load_bundle(run.bundle)
        with whole_file(self.library.hidden / "model.json") as temporary:
            place = run.bundle.relative_to(self.library.hidden).as_posix()
            temporary.write_text(json.dumps({"bundle": place}) + "\n", encoding="utf-8")
        self.model = bundle
        self.desk.use(bundle.path)
        self.failures.clear()
        run.used = True
        run.keep()
        self.library.version += 1

    def spooled(self, suffix: str = "") -> Path:
        """A new path for an upload."""
        return self.spool / f".{secrets.token_hex(8)}{suffix}"

    async def run(self, task: str, name: str, path: Path, *arguments: Any) -> Any:
        """The worker's result of a task."""
        return await asyncio.wrap_future(self.desk.submit(task, name, path, *arguments))

    def close(self) -> None:
        self.retraining.close()
        self.desk.close()
        shutil.rmtree(self.spool, ignore_errors=True)


def adopted(library: Library) -> Path | None:
    """The model chosen on the page, None where none was."""
    with suppress(OSError, ValueError, KeyError, TypeError):
        text = (library.hidden / "model.json").read_text(encoding="utf-8")
        bundle = library.hidden / str(json.loads(text)["bundle"])
        if (bundle / CARD).is_file():
            return bundle
    return None
