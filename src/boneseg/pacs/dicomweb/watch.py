"""Segment the films on a DICOMweb server that have no segmentation of this model yet.

    watch = Watch(web, engine, scratch)
    watch.study("1.2.840.113619.2.1")     # one study, now
    watch.round()                         # every study changed since the last round
    watch.forever(every=10)

The UID of a segmentation is derived from those of its film and of the model, so the server is
queried for it before anything is computed: an interrupted run loses nothing, and nothing is stored
twice. A failed film is retried later and does not affect others. Several processes may watch one
server: each takes studies and films in a random order, and looks again for a segmentation if its
list is old, so that they rarely segment the same film.
"""

from __future__ import annotations

import math
import random
import time
from collections import defaultdict
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import Literal

from boneseg._util.logs import log
from boneseg._util.scratch import Scratch
from boneseg.errors import BonesegError, DecoderDiedError, RadiographError, ServiceError
from boneseg.inference.engine import Engine
from boneseg.masks.formats.dicom_seg.write import segmentation_uid
from boneseg.masks.verdict import Grade, Verdict
from boneseg.pacs.dicomweb.client import DicomWeb, Instance, Study
from boneseg.pacs.dicomweb.connection import AccessError, UnreachableError
from boneseg.pacs.dicomweb.dicom_json import InvalidJsonError
from boneseg.pacs.dicomweb.retries import Retries
from boneseg.pacs.identifiers import digest, film_name, hashed, public_uid, with_uid
from boneseg.pacs.segment import segment

MODALITIES = ("CR", "DX")
MOST_CRASHES = 2  # over a film, before it is skipped
LONGEST_PAUSE = 60.0  # seconds between two failing rounds
FRESH = 2.0  # seconds for which a list of films counts as complete


@dataclass(frozen=True)
class Outcome:
    """The result for a film, or for a series or study that failed.

    state: stored now, there before, withheld for its verdict, or failed. film: "film" and a hash
    of its SOP Instance UID, as in the log. uid: the SOP Instance UID itself, where the film was
    fetched and the UID does not identify the patient. verdict: on the mask, where it was computed.
    """

    film: str
    state: Literal["stored", "there", "withheld", "failed"]
    uid: str | None = None
    error: str | None = None
    verdict: Verdict | None = None

    def __str__(self) -> str:
        name = with_uid(self.film, self.uid)
        result = self.error or self.state
        if self.verdict is not None:
            result = f"{result}; {self.verdict.view}; {self.verdict}"
        return result if result.startswith(name) else f"{name}: {result}"


@dataclass
class _Listing:
    """The objects of a study by UID, the names of its series, and those that failed.

    time: when it was begun, by the clock of the watch.
    """

    time: float

    films: dict[str, Instance] = field(default_factory=dict)
    names: list[str] = field(default_factory=list)
    failed: list[Outcome] = field(default_factory=list)


class Watch:
    """Films of some modalities on one server, for one model. `report` receives each outcome.

    Masks whose verdict is below `least` are not stored: a viewer shows a mask on the film, but not
    its description, so a flag would be missed.
    """

    def __init__(
        self,
        web: DicomWeb,
        engine: Engine,
        scratch: Scratch,
        *,
        modalities: Collection[str] = MODALITIES,
        least: Grade = "unsuitable",
        report: Callable[[Outcome], None] = lambda outcome: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.web, self.engine, self.scratch = web, engine, scratch
        self.modalities, self.report, self._clock = frozenset(modalities), report, clock
        self._least = least
        self._retries = Retries(clock)
        # Segmentations stored since a study changed: some servers list them late.
        self._stored: defaultdict[str, set[str]] = defaultdict(set)
        self._crashed: set[str] = set()  # films that crashed the decoder once
        # The instance count of a study at the last check, and when it is due without a change.
        self._checked: dict[str, tuple[int | None, float]] = {}

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
            except AccessError:
                raise
            except Exception as error:
                if isinstance(error, ServiceError) and not (
                    begun or isinstance(error, InvalidJsonError)
                ):
                    raise
                pause = max(every, min(2 * pause, LONGEST_PAUSE))
                log.error(f"{_message(error)}; trying again in {pause:.0f} s")
            sleep(pause)

    def round(self, since: str | None = None) -> list[Outcome]:
        """Segment new films on the server; with `since` (YYYYMMDD) in studies from that date on.

        Raises ServiceError where the server is unreachable, refuses access, or cannot list studies.
        """
        outcomes: list[Outcome] = []
        studies = list(self.web.studies(since))
        random.shuffle(studies)
        for study in studies:
            count, again = self._checked.get(study.uid, (None, -math.inf))
            if count != study.count:
                self._stored.pop(study.uid, None)
            elif self._clock() < again:
                continue
            outcomes += self._check(study)
        return outcomes

    def study(self, uid: str) -> list[Outcome]:
        """Segment the films of a study that have no segmentation of this model.

        Raises ServiceError where the server is unreachable or cannot list the study's series.
        """
        return self._study(uid)[0]

    def _check(self, study: Study) -> list[Outcome]:
        """The outcomes of a study; a refused study does not block others."""
        name = hashed("study", study.uid)
        try:
            outcomes, names = self._study(study.uid, shuffled=True)
        except (UnreachableError, AccessError):
            raise
        except Exception as error:
            outcomes, names = [self._failed(name, error)], [name]
            again = self._retries.when(name)
        else:
            self._retries.done(name)
            again = self._retries.next(names) if study.count is not None else -math.inf
        self._checked[study.uid] = study.count, again
        return outcomes

    def _study(self, uid: str, *, shuffled: bool = False) -> tuple[list[Outcome], list[str]]:
        """The outcomes of a study's films, and the retry keys of its films and series."""
        listing = self._list(uid)
        outcomes, names = list(listing.failed), listing.names
        films = list(listing.films.values())
        if shuffled:
            random.shuffle(films)
        for film in films:
            if film.modality in self.modalities:
                names.append(film_name(film.uid))
                if self._retries.is_due(names[-1]):
                    outcomes.append(self._film(film, listing))
                    self.report(outcomes[-1])
        return outcomes, names

    def _list(self, uid: str) -> _Listing:
        """List the objects of a study; a series that cannot be listed is one of the outcomes."""
        listing = _Listing(self._clock())
        for series in list(self.web.series(uid)):
            name = hashed("series", series.uid)
            listing.names.append(name)
            try:
                listing.films |= {film.uid: film for film in self.web.instances(uid, series)}
            except (UnreachableError, AccessError):
                raise
            except Exception as error:
                listing.failed.append(self._failed(name, error))
            else:
                self._retries.done(name)
        if unknown := sum(not film.modality for film in listing.films.values()):
            log.warning(
                f"{hashed('study', uid)}: the server sends no modality for {unknown} of its "
                "objects; skipped"
            )
        return listing

    def _film(self, film: Instance, listing: _Listing) -> Outcome:
        """Segment a film, unless its study has its segmentation."""
        name, uid = film_name(film.uid), None
        wanted = segmentation_uid(film.uid, self.engine.bundle.card.model)
        try:
            if name in self._stored[film.study] or wanted in listing.films:
                return Outcome(name, "there")
            is_incomplete = listing.failed or self._clock() - listing.time > FRESH
            if is_incomplete and self.web.has(film.study, wanted):
                return Outcome(name, "there")
            self._refuse_after_crashes(film.uid)
            with self.scratch.work(digest(film.uid)) as folder:
                path = folder / "film.dcm"
                self.web.fetch(film, path)
                uid = public_uid(film.uid, path)
                found = segment(path, self.engine, with_uid(name, uid))
                if not found.verdict.reaches(self._least):
                    self._retries.give_up(name)
                    return Outcome(name, "withheld", uid, verdict=found.verdict)
                self.web.store(found.dataset)
        except (UnreachableError, AccessError):
            raise
        except Exception as error:
            self._schedule_retry(name, error)
            return Outcome(name, "failed", uid, _message(error))
        self._retries.done(name)
        self._stored[film.study].add(name)
        return Outcome(name, "stored", uid, verdict=found.verdict)

    def _refuse_after_crashes(self, uid: str) -> None:
        """Raise RadiographError for a film that has crashed the program too often."""
        crashes = self.scratch.ended_over(digest(uid))
        if crashes >= MOST_CRASHES:
            raise RadiographError(
                f"the program crashed {crashes} times on this film, which is now skipped; delete "
                f"{self.scratch.record(digest(uid))} to retry"
            )

    def _failed(self, name: str, error: Exception) -> Outcome:
        """The outcome of a series or study that could not be listed."""
        self._schedule_retry(name, error)
        outcome = Outcome(name, "failed", error=_message(error))
        self.report(outcome)
        return outcome

    def _schedule_retry(self, name: str, error: Exception) -> None:
        """Schedule a retry, or none where the film is at fault."""
        again = isinstance(error, DecoderDiedError) and name not in self._crashed
        if again:  # perhaps out of memory
            self._crashed.add(name)
        if isinstance(error, RadiographError) and not again:
            self._retries.give_up(name)
        else:  # the server, the disk or memory is at fault
            self._retries.failed(name)


def _message(error: Exception) -> str:
    """An error as one line. Messages of libraries may quote patient data from the file."""
    if isinstance(error, BonesegError):
        return str(error)
    return f"unexpected error ({type(error).__name__}); please report it as a bug"
