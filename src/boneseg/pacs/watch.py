"""Films on a DICOMweb server that have no segmentation of this model yet: found, made, stored.

    watch = Watch(web, engine)
    watch.study("1.2.840.113619.2.1")     # one study, now
    watch.round()                         # every study that has changed since the last round

What has been done is written nowhere but on the server itself: the UID of a segmentation is made of
those of its film and of the model, so whether it is there can be asked before anything is computed.
A kill at any moment loses nothing, and nothing is stored twice.
"""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from boneseg.engine import Engine
from boneseg.errors import BonesegError, OutputError, ServiceError
from boneseg.pacs.answer import answer, called, hashed
from boneseg.pacs.dicomweb import DicomWeb, GoneError, Instance, ShutOutError, Study
from boneseg.writers.dicom_seg import segmentation_uid

MODALITIES = ("CR", "DX")
TRIES = 5  # of a film whose segmentation the server does not take, or of a study it does not show


@dataclass(frozen=True)
class Outcome:
    """What became of a film: stored now, there before, or failed; or of a study, which failed."""

    film: str
    state: Literal["stored", "there", "failed"]
    error: str | None = None


class Watch:
    """Films of some modalities on one server, and one model. `report` is told of each at once."""

    def __init__(
        self,
        web: DicomWeb,
        engine: Engine,
        *,
        modalities: Collection[str] = MODALITIES,
        report: Callable[[Outcome], None] = lambda outcome: None,
    ) -> None:
        self.web, self.engine = web, engine
        self.modalities, self.report = frozenset(modalities), report
        self._looked: dict[str, int] = {}  # the instances that a study had at the last look
        self._failures: Counter[str | Study] = Counter()  # of films, by their UID, and of studies

    def study(self, uid: str) -> list[Outcome]:
        """Segment the films of a study that have no segmentation of this model.

        Raises ServiceError where the server is gone, or has no such study.
        """
        held = list(self.web.instances(uid))
        there = {instance.uid for instance in held}
        outcomes = []
        for film in held:
            if film.modality in self.modalities and self._failures[film.uid] < TRIES:
                outcomes.append(self._film(film, there))
                self.report(outcomes[-1])
        return outcomes

    def round(self, since: str | None = None) -> list[Outcome]:
        """Segment what is new on the server; with `since` (YYYYMMDD) in studies from then on.

        Raises ServiceError where the server is gone, does not let us in, or lists no studies.
        """
        outcomes: list[Outcome] = []
        for study in list(self.web.studies(since)):
            if study.count is not None and self._looked.get(study.uid) == study.count:
                continue
            if self._failures[study] >= TRIES:  # it has changed in nothing since
                continue
            found = self._try(study)
            outcomes += found
            failed = any(outcome.state == "failed" for outcome in found)  # it is looked at again
            if study.count is not None and not failed:
                self._looked[study.uid] = study.count
        return outcomes

    def _try(self, study: Study) -> list[Outcome]:
        """What became of a study's films; a study that is refused holds up no other."""
        try:
            found = self.study(study.uid)
        except (GoneError, ShutOutError):
            raise
        except ServiceError as error:
            self._failures[study] += 1
            name = hashed("study", study.uid)
            found = [Outcome(name, "failed", f"{name}: {error}")]
            self.report(found[0])
        else:
            del self._failures[study]
        return found

    def _film(self, film: Instance, there: Collection[str]) -> Outcome:
        name = hashed("film", film.uid)
        if segmentation_uid(film.uid, self.engine.bundle.card) in there:
            return Outcome(name, "there")
        try:
            with _own_folder() as folder:
                path = folder / "film.dcm"
                self.web.fetch(film, path)
                name = called(film.uid, path)
                self.web.store(answer(path, self.engine, name))
        except GoneError:
            raise
        except BonesegError as error:
            # what the server refuses it may take later; a film that is none stays so
            if not isinstance(error, OutputError):  # a full disk is no fault of the film
                self._failures[film.uid] += 1 if isinstance(error, ServiceError) else TRIES
            words = str(error)
            return Outcome(name, "failed", words if words.startswith(name) else f"{name}: {words}")
        return Outcome(name, "stored")


@contextmanager
def _own_folder() -> Iterator[Path]:
    """A folder for a film while it is looked at. Raises OutputError."""
    try:
        made = tempfile.TemporaryDirectory(prefix="boneseg-")
    except OSError as error:
        raise OutputError(
            f"{tempfile.gettempdir()}: has no place for a film ({error.strerror}); free space there"
        ) from None
    with made as folder:
        yield Path(folder)
