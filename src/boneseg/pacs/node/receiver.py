"""Receives films by C-STORE and writes them to the spool (PS3.4 annex B).

A film is on disk before its C-STORE is acknowledged. Where the spool is full, the sender gets
status A700H (out of resources) and sends again later.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from weakref import WeakKeyDictionary, WeakSet

from pydicom import uid as sop_classes
from pynetdicom.association import Association
from pynetdicom.events import Event

from boneseg._util.logs import log
from boneseg.errors import OutputError
from boneseg.pacs.node.spool import Spool
from boneseg.pacs.node.status import FULL, SUCCESS, TOO_LARGE

LEAST_FREE = 4 << 20  # bytes that stay free on the disk that receives films

FILMS = (
    sop_classes.ComputedRadiographyImageStorage,
    sop_classes.DigitalXRayImageStorageForPresentation,
    sop_classes.DigitalXRayImageStorageForProcessing,
    sop_classes.DigitalIntraOralXRayImageStorageForPresentation,
    sop_classes.DigitalIntraOralXRayImageStorageForProcessing,
    sop_classes.DigitalMammographyXRayImageStorageForPresentation,
    sop_classes.DigitalMammographyXRayImageStorageForProcessing,
    sop_classes.XRayAngiographicImageStorage,
    sop_classes.XRayRadiofluoroscopicImageStorage,
    sop_classes.SecondaryCaptureImageStorage,
)


class Receiver:
    """Handlers of received data. `notify` is called after each film."""

    def __init__(self, spool: Spool, max_bytes: int, notify: Callable[[], None]) -> None:
        self._spool, self._max_bytes, self._notify = spool, max_bytes, notify
        self._received: WeakKeyDictionary[Association, int] = WeakKeyDictionary()  # bytes
        self._refused: WeakSet[Association] = WeakSet()

    def store(self, event: Event) -> int:
        """C-STORE: write the film to disk, then acknowledge."""
        self._received[event.assoc] = 0
        path = event.dataset_path
        uid = str(getattr(event.request, "AffectedSOPInstanceUID", ""))
        if path.stat().st_size > self._max_bytes:
            log.warning(f"film rejected: larger than {self._max_bytes >> 20} MiB")
            return TOO_LARGE
        try:
            with path.open("rb") as file:
                self._spool.put("films", uid, iter(lambda: file.read(1 << 20), b""))
        except OutputError as error:  # no space in the spool, or on the disk
            log.warning(f"film rejected: {error}")
            return FULL
        self._notify()
        return SUCCESS

    def count_bytes(self, event: Event) -> None:
        """Abort an association that sends an oversized film, or one that the disk cannot hold."""
        link = event.assoc
        self._received[link] = size = self._received.get(link, 0) + len(event.data)
        folder = self._spool.coming
        if size > self._max_bytes + (self._max_bytes >> 4):  # the film, and its PDU headers
            reason = f"film rejected: larger than {self._max_bytes >> 20} MiB"
        elif link.is_established and shutil.disk_usage(folder).free < LEAST_FREE:
            reason = f"film rejected: no space left in {folder}; free space there"
        else:
            return
        if link not in self._refused:
            self._refused.add(link)
            log.warning(reason)
            link.abort(block=False)


def remove_parts(link: Association) -> None:
    """Remove partially received films when their association ends."""
    parts = [getattr(link.dimse.message, "_data_set_file", None)]
    with link.dimse.msg_queue.mutex:
        parts += [getattr(item[1], "_dataset_file", None) for item in link.dimse.msg_queue.queue]
    for part in parts:
        if part is not None:
            part.close()
            with suppress(OSError):
                Path(part.name).unlink()
