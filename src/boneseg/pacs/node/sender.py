"""Sends the segmentations on the spool to another node by C-STORE, with exponential backoff."""

from __future__ import annotations

import threading
from contextlib import suppress
from pathlib import Path

import pydicom
from pydicom.dataset import Dataset
from pydicom.uid import SegmentationStorage
from pynetdicom import AE, evt
from pynetdicom.association import Association

from boneseg._util.logs import log
from boneseg.pacs.identifiers import film_name
from boneseg.pacs.node.listener import TIMEOUT, disconnect, limit_connection
from boneseg.pacs.node.peer import Peer
from boneseg.pacs.node.spool import Spool
from boneseg.pacs.node.status import SUCCESS, WARNINGS, is_out_of_resources

IDLE_PAUSE = FIRST_PAUSE = 1.0  # seconds
LONGEST_PAUSE = 60.0  # seconds between two attempts to send


class Sender:
    """Sends from a spool to a node, under the AE title `title`, until `stopped` is set."""

    def __init__(self, spool: Spool, to: Peer, title: str, stopped: threading.Event) -> None:
        self._spool, self._to, self._title, self._stopped = spool, to, title, stopped
        self._pause = FIRST_PAUSE
        self._failed = False  # whether the last attempt failed
        self._link: Association | None = None

    def step(self) -> float:
        """Send all queued segmentations in one association; returns how many seconds to wait."""
        if self._spool.next("answers") is None:
            self._pause = FIRST_PAUSE
            return IDLE_PAUSE
        link = self._link = self._connect()
        if not link.is_established:
            return self._retry_later(
                "rejects the association" if link.is_rejected else "cannot be reached"
            )
        try:
            while (path := self._spool.next("answers")) is not None and not self._stopped.is_set():
                if (problem := self._send(link, path)) is not None:
                    self._spool.put_last(path)  # the fault may be that of this one only
                    return self._retry_later(problem)
                if self._failed:
                    log.info(f"{self._to}: responds again")
                self._pause, self._failed = FIRST_PAUSE, False
        finally:
            link.release()
            disconnect(link)
        return 0

    def disconnect(self) -> None:
        """Close the connection, where the other node responds slowly or not at all."""
        if self._link is not None:
            disconnect(self._link)

    def _connect(self) -> Association:
        entity = AE(self._title)
        entity.network_timeout = entity.acse_timeout = entity.dimse_timeout = TIMEOUT
        entity.connection_timeout = TIMEOUT
        entity.add_requested_context(SegmentationStorage)
        return entity.associate(
            self._to.host,
            self._to.port,
            ae_title=self._to.title,
            evt_handlers=[(evt.EVT_CONN_OPEN, limit_connection)],
        )

    def _send(self, link: Association, path: Path) -> str | None:
        """Send one segmentation; returns why it must be resent, or None."""
        try:
            found = pydicom.dcmread(path)
        except Exception:  # damaged on disk; the sender can resend the film
            log.error(f"{path.name}: a segmentation on the spool cannot be read; moved to failed")
            self._spool.fail(path)
            return None
        try:
            status: int | None = link.send_c_store(found).get("Status")
        except ValueError:  # no presentation context for it
            return "does not accept segmentations"
        except RuntimeError:  # the association has ended
            return "stops responding"
        if status is None:
            return "does not respond"
        if is_out_of_resources(status):
            return "is out of resources"
        if status == SUCCESS or status in WARNINGS:
            self._spool.done(path)
            log.info(f"{_film_of(found)}: {self._to} has accepted its segmentation")
        else:
            log.error(
                f"{_film_of(found)}: {self._to} rejected its segmentation ({status:04X}H); "
                f"moved to {self._spool.folder / 'failed'}"
            )
            self._spool.fail(path)
        return None

    def _retry_later(self, reason: str) -> float:
        log.warning(f"{self._to}: {reason}; trying again in {self._pause:.0f} s")
        self._failed = True
        pause, self._pause = self._pause, min(2 * self._pause, LONGEST_PAUSE)
        self._stopped.wait(pause)  # not shortened by a new film
        return 0


def _film_of(segmentation: Dataset) -> str:
    """The name in messages of the film that was segmented."""
    with suppress(AttributeError, IndexError):
        (film,) = segmentation.ReferencedSeriesSequence[0].ReferencedInstanceSequence
        return film_name(str(film.ReferencedSOPInstanceUID))
    return "a film"
