"""Segment the films on a DICOMweb server that have no segmentation of this model yet.

    watch = Watch(web, engine, room)
    watch.study("1.2.840.113619.2.1")     # one study, now
    watch.round()                         # every study changed since the last round
    watch.forever(every=10)

The UID of a segmentation is derived from those of its film and of the model, so the server is
queried for it before anything is computed: an interrupted run loses nothing, and nothing is stored
twice. A failed film is retried later and does not affect others.
"""

from __future__ import annotations

import math
import time
from collections import defaultdict
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Literal

from boneseg._util.logs import log
from boneseg._util.scratch import Scratch
from boneseg.errors import BonesegError, DecoderDiedError, RadiographError, ServiceError
from boneseg.inference.engine import Engine
from boneseg.masks.formats.dicom_seg.write import segmentation_uid
from boneseg.pacs.dicomweb.client import DicomWeb, Instance, Study
from boneseg.pacs.dicomweb.connection import GoneError, ShutOutError
from boneseg.pacs.dicomweb.dicom_json import GarbledError
from boneseg.pacs.dicomweb.retries import Retries
from boneseg.pacs.identifiers import digest, film_name, hashed, public_uid, with_uid
from boneseg.pacs.segment import segment

MODALITIES = ("CR", "DX")
MOST_ENDED = 2  # crashes over a film before it is skipped
LONGEST_PAUSE = 60.0  # seconds between two failing rounds


@dataclass(frozen=True)
class Outcome:
    """The result for a film, or for a series or study that failed.

    state: stored now, there before, or failed. film: "film" and a hash of its SOP Instance UID, as
    in the log. uid: the SOP Instance UID itself, where the film was fetched and the UID does not
    identify the patient.
    """

    film: str
    state: Literal["stored", "there", "failed"]
    uid: str | None = None
    error: str | None = None

    def __str__(self) -> str:
        called = with_uid(self.film, self.uid)
        words = self.error or self.state
        return words if words.startswith(called) else f"{called}: {words}"


class Watch:
    """Films of some modalities on one server, for one model. `report` receives each outcome."""

    def __init__(
        self,
        web: DicomWeb,
        engine: Engine,
        room: Scratch,
        *,
        modalities: Collection[str] = MODALITIES,
        report: Callable[[Outcome], None] = lambda outcome: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.web, self.engine, self.room = web, engine, room
        self.modalities, self.report, self._clock = frozenset(modalities), report, clock
        self._retries = Retries(clock)
        # Segmentations stored since a study changed: some servers list them late.
        self._stored: defaultdict[str, set[str]] = defaultdict(set)
        self._died: set[str] = set()  # films that crashed the decoder once
        # The instance count of a study at the last check, and when it is due without a change.
        self._looked: dict[str, tuple[int | None, float]] = {}

    def forever(
        self,
        since: str | None = None,
        every: float = 10,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """Repeat rounds. An invalid response does not end the loop.

        Raises ServiceError where authentication fails or the first round is refused.
        """
        pause, begun = every, False
        while True:
            try:
                self.round(since)
                pause, begun = every, True
            except ShutOutError:
                raise
            except Exception as error:
                if isinstance(error, ServiceError) and not (
                    begun or isinstance(error, GarbledError)
                ):
                    raise
                pause = max(every, min(2 * pause, LONGEST_PAUSE))
                log.error(f"{_words(error)}; trying again in {pause:.0f} s")
            sleep(pause)

    def round(self, since: str | None = None) -> list[Outcome]:
        """Segment new films on the server; with `since` (YYYYMMDD) in studies from that date on.

        Raises ServiceError where the server is unreachable, refuses access, or cannot list studies.
        """
        outcomes: list[Outcome] = []
        for study in list(self.web.studies(since)):
            count, again = self._looked.get(study.uid, (None, -math.inf))
            if count != study.count:
                self._stored.pop(study.uid, None)
            elif self._clock() < again:
                continue
            outcomes += self._look(study)
        return outcomes

    def study(self, uid: str) -> list[Outcome]:
        """Segment the films of a study that have no segmentation of this model.

        Raises ServiceError where the server is unreachable or cannot list the study's series.
        """
        return self._study(uid)[0]

    def _look(self, study: Study) -> list[Outcome]:
        """The outcomes of a study; a refused study does not block others."""
        name = hashed("study", study.uid)
        try:
            outcomes, names = self._study(study.uid)
        except (GoneError, ShutOutError):
            raise
        except Exception as error:
            outcomes, names = [self._failed(name, error)], [name]
            again = self._retries.when(name)
        else:
            self._retries.done(name)
            again = self._retries.next(names) if study.count is not None else -math.inf
        self._looked[study.uid] = study.count, again
        return outcomes

    def _study(self, uid: str) -> tuple[list[Outcome], list[str]]:
        """The outcomes of a study's films, and the retry keys of its films and series."""
        outcomes: list[Outcome] = []
        names: list[str] = []
        films: dict[str, Instance] = {}
        whole = True
        for series in list(self.web.series(uid)):
            names.append(hashed("series", series.uid))
            try:
                films |= {film.uid: film for film in self.web.instances(uid, series)}
            except (GoneError, ShutOutError):
                raise
            except Exception as error:
                whole = False
                outcomes.append(self._failed(names[-1], error))
            else:
                self._retries.done(names[-1])
        if unknown := sum(not film.modality for film in films.values()):
            log.warning(
                f"{hashed('study', uid)}: the server sends no modality for {unknown} of its "
                "objects; skipped"
            )
        for film in films.values():
            if film.modality in self.modalities:
                names.append(film_name(film.uid))
                if self._retries.is_due(names[-1]):
                    outcomes.append(self._film(film, films.keys(), whole=whole))
                    self.report(outcomes[-1])
        return outcomes, names

    def _film(self, film: Instance, there: Collection[str], *, whole: bool) -> Outcome:
        """Segment a film. `there`: known objects of its study; `whole`: these are all."""
        name, uid = film_name(film.uid), None
        wanted = segmentation_uid(film.uid, self.engine.bundle.card.model)
        try:
            if name in self._stored[film.study]:
                return Outcome(name, "there")
            if wanted in there or (not whole and self.web.has(film.study, wanted)):
                return Outcome(name, "there")
            self._refuse_after_deaths(film.uid)
            with self.room.work(digest(film.uid)) as folder:
                path = folder / "film.dcm"
                self.web.fetch(film, path)
                uid = public_uid(film.uid, path)
                self.web.store(segment(path, self.engine, with_uid(name, uid)))
        except (GoneError, ShutOutError):
            raise
        except Exception as error:
            self._note(name, error)
            return Outcome(name, "failed", uid, _words(error))
        self._retries.done(name)
        self._stored[film.study].add(name)
        return Outcome(name, "stored", uid)

    def _refuse_after_deaths(self, uid: str) -> None:
        """Raise RadiographError for a film that has crashed the program too often."""
        ended = self.room.ended_over(digest(uid))
        if ended >= MOST_ENDED:
            raise RadiographError(
                f"the program crashed {ended} times on this film, which is now skipped; delete "
                f"{self.room.record(digest(uid))} to retry"
            )

    def _failed(self, name: str, error: Exception) -> Outcome:
        """The outcome of a series or study that could not be listed."""
        self._note(name, error)
        outcome = Outcome(name, "failed", error=_words(error))
        self.report(outcome)
        return outcome

    def _note(self, name: str, error: Exception) -> None:
        """Schedule a retry, or none where the film is at fault."""
        again = isinstance(error, DecoderDiedError) and name not in self._died
        if again:  # perhaps out of memory
            self._died.add(name)
        if isinstance(error, RadiographError) and not again:
            self._retries.give_up(name)
        else:  # the server, the disk or memory is at fault
            self._retries.failed(name)


def _words(error: Exception) -> str:
    """An error as one line. Messages of libraries may quote patient data from the file."""
    if isinstance(error, BonesegError):
        return str(error)
    return f"unexpected error ({type(error).__name__}); please report it as a bug"
