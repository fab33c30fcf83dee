"""Films on a DICOMweb server that have no segmentation of this model yet: found, made, stored.

    watch = Watch(web, engine, room)
    watch.study("1.2.840.113619.2.1")     # one study, now
    watch.round()                         # every study that has changed since the last round
    watch.forever(every=10)

The UID of a segmentation is made of those of its film and of the model, so the server can be asked
whether it is there before anything is computed: a kill at any moment loses nothing, and nothing is
stored twice. What fails is tried again later, and costs no other film.
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
from boneseg.pacs.answer import answer, digest, hashed, label, public_uid
from boneseg.pacs.connection import GoneError, ShutOutError
from boneseg.pacs.dicomjson import GarbledError
from boneseg.pacs.dicomweb import DicomWeb, Instance, Study
from boneseg.pacs.retries import Retries

MODALITIES = ("CR", "DX")
MOST_ENDED = 2  # processes that may end in the midst of a film before it is set aside
LONGEST_PAUSE = 60.0  # seconds between two rounds that fail


@dataclass(frozen=True)
class Outcome:
    """What became of a film: stored now, there before, or failed; or of a series or study.

    film: "film" and a hash of its SOP Instance UID, by which the log names it, too. uid: the SOP
    Instance UID itself, where the film was fetched and its UID does not identify the patient.
    """

    film: str
    state: Literal["stored", "there", "failed"]
    uid: str | None = None
    error: str | None = None

    def __str__(self) -> str:
        called = label(self.film, self.uid)
        words = self.error or self.state
        return words if words.startswith(called) else f"{called}: {words}"


class Watch:
    """Films of some modalities on one server, and one model. `report` gets each outcome at once."""

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
        # Films of a study that were stored since it changed: some servers list them late.
        self._stored: defaultdict[str, set[str]] = defaultdict(set)
        self._died: set[str] = set()  # films over which the decoder died once
        # The instances that a study had at the last look, and when it is due without a change.
        self._looked: dict[str, tuple[int | None, float]] = {}

    def forever(
        self,
        since: str | None = None,
        every: float = 10,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """Round after round. An answer that cannot be read ends none of them.

        Raises ServiceError where the server does not let us in, or refuses the first round.
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
        """Segment what is new on the server; with `since` (YYYYMMDD) in studies from then on.

        Raises ServiceError where the server is gone, does not let us in, or lists no studies.
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

        Raises ServiceError where the server is gone, or does not list the series of the study.
        """
        return self._study(uid)[0]

    def _look(self, study: Study) -> list[Outcome]:
        """What became of a study's films; a study that is refused holds up no other."""
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
        """What became of the films of a study, and the names of all that may fail in it."""
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
                f"{hashed('study', uid)}: the server tells no modality for {unknown} of its "
                "objects; they are passed over"
            )
        for film in films.values():
            if film.modality in self.modalities:
                names.append(hashed("film", film.uid))
                if self._retries.is_due(names[-1]):
                    outcomes.append(self._film(film, films.keys(), whole=whole))
                    self.report(outcomes[-1])
        return outcomes, names

    def _film(self, film: Instance, there: Collection[str], *, whole: bool) -> Outcome:
        """Segment a film. `there`: the objects of its study, as far as all (`whole`) are known."""
        name, uid = hashed("film", film.uid), None
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
                self.web.store(answer(path, self.engine, label(name, uid)))
        except (GoneError, ShutOutError):
            raise
        except Exception as error:
            self._note(name, error)
            return Outcome(name, "failed", uid, _words(error))
        self._retries.done(name)
        self._stored[film.study].add(name)
        return Outcome(name, "stored", uid)

    def _refuse_after_deaths(self, uid: str) -> None:
        """Raises RadiographError for a film that has ended the program too often."""
        ended = self.room.ended_over(digest(uid))
        if ended >= MOST_ENDED:
            raise RadiographError(
                f"the program ended {ended} times while it had this film in hand; the film is set "
                f"aside, remove {self.room.record(digest(uid))} to try it again"
            )

    def _failed(self, name: str, error: Exception) -> Outcome:
        """A series or study that the server does not list."""
        self._note(name, error)
        outcome = Outcome(name, "failed", error=_words(error))
        self.report(outcome)
        return outcome

    def _note(self, name: str, error: Exception) -> None:
        """Note that something failed: for ever, if that is the fault of the film."""
        again = isinstance(error, DecoderDiedError) and name not in self._died
        if again:  # perhaps for want of memory
            self._died.add(name)
        if isinstance(error, RadiographError) and not again:
            self._retries.give_up(name)
        else:  # of the server, the disk or the memory
            self._retries.failed(name)


def _words(error: Exception) -> str:
    """An error in a line. What libraries say could quote the file, and so the patient."""
    if isinstance(error, BonesegError):
        return str(error)
    return f"{type(error).__name__} in boneseg; please report it"
