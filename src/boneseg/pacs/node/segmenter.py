"""Segments the films on the spool, one at a time."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from io import BytesIO
from pathlib import Path

from boneseg._util.logs import log
from boneseg.errors import BonesegError, DecoderDiedError, OutputError, RadiographError
from boneseg.inference.engine import Engine
from boneseg.masks.verdict import Grade
from boneseg.pacs.identifiers import film_name, public_uid, with_uid
from boneseg.pacs.node.spool import Spool
from boneseg.pacs.segment import segment
from boneseg.radiograph.dicom.file import read_file

MOST_ATTEMPTS = 2  # at a film that crashes the program or the decoder
IDLE_PAUSE = 1.0  # seconds between two checks for new films
DISK_PAUSE = 60.0  # seconds to wait for disk space


class Segmenter:
    """Segments films for a spool. `notify` is called after each film.

    Masks whose verdict is below `least` are not sent.
    """

    def __init__(
        self,
        spool: Spool,
        engine: Engine,
        notify: Callable[[], None],
        least: Grade = "unsuitable",
    ) -> None:
        self._spool, self._engine, self._notify, self._least = spool, engine, notify, least

    def step(self) -> float:
        """Segment the oldest film; returns how many seconds to wait before the next step."""
        path = self._spool.next("films")
        if path is None:
            return IDLE_PAUSE
        attempt = self._spool.begin(path)
        name = _name(path)
        try:
            result = self._segment(path, name, attempt)
        except OutputError as error:  # the disk is full: not a fault of the film
            log.error(f"{error}")
            self._spool.put_back(path)
            return DISK_PAUSE
        except Exception as error:  # a film must not stop the node
            self._handle(error, path, name, attempt)
            return 0
        log.info(f"{name}: {result}")
        self._spool.done(path)
        self._notify()
        return 0

    def _segment(self, path: Path, name: str, attempt: int) -> str:
        if attempt > MOST_ATTEMPTS:
            raise RadiographError(f"{name}: crashed the program {MOST_ATTEMPTS} times")
        found, encoded = segment(path, self._engine, name), BytesIO()
        judged = f"{found.verdict.view}; {found.verdict}"
        if not found.verdict.reaches(self._least):
            return f"withheld; {judged}"
        found.dataset.save_as(encoded, enforce_file_format=True)
        self._spool.put("answers", str(found.dataset.SOPInstanceUID), [encoded.getvalue()])
        return f"segmented; {judged}"

    def _handle(self, error: Exception, path: Path, name: str, attempt: int) -> None:
        """Retry a film once if the decoder died, else move it to the failed films."""
        if isinstance(error, DecoderDiedError) and attempt < MOST_ATTEMPTS:  # out of memory?
            log.warning(f"{error}; retrying once")
            self._spool.put_last(path)
            return
        reason = str(error) if isinstance(error, BonesegError) else type(error).__name__
        message = reason if reason.startswith(name) else f"{name}: {reason}"
        log.error(f"{message}; moved to {self._spool.folder / 'failed'}")
        self._spool.fail(path)


def _name(path: Path) -> str:
    """A film's name in messages."""
    with suppress(Exception):  # reported later as not DICOM
        uid = str(read_file(path, pixels=False).SOPInstanceUID)
        return with_uid(film_name(uid), public_uid(uid, path))
    return "a film"
