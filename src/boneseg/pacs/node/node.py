"""A DICOM node: receives films by C-STORE and sends their segmentations to another node.

    node = Node(spool, engine, to=peer("ARCHIVE@10.0.0.5:104"), title="BONESEG", allow=["MODALITY"])
    with node.running("0.0.0.0", 11112):
        ...

A film is on disk before its C-STORE is acknowledged (see `spool.py`). One thread segments, another
sends, so that an unreachable archive does not stop segmentation until the spool is full. Senders
then receive status A700H (out of resources) and send again later.

PS3.4 annex B (storage), PS3.7 (DIMSE), PS3.8 (associations).
"""

from __future__ import annotations

import re
import shutil
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary, WeakSet

import pydicom
from pydicom import uid as classes
from pynetdicom import AE, ALL_TRANSFER_SYNTAXES, evt

from boneseg._util.logs import log
from boneseg._util.quiet import muted
from boneseg._util.runtime import received_to_files
from boneseg.errors import (
    BonesegError,
    DecoderDiedError,
    OutputError,
    RadiographError,
    ServiceError,
    UsageError,
)
from boneseg.inference.engine import Engine
from boneseg.pacs.node.listener import TIMEOUT, Listener, bound, shut
from boneseg.pacs.node.spool import Spool
from boneseg.pacs.segment import answer, hashed, label, public_uid
from boneseg.radiograph.dicom.file import read_file

MAX_BYTES = 1 << 30  # of one film
LEAST_ROOM = 4 << 20  # bytes that stay free on the disk that receives films
TRIES = 2  # attempts at a film that crashes the program or the decoder
GRACE = 30.0  # seconds to finish current work when the node is stopped
LONGEST_PAUSE = 60.0  # seconds between two attempts to send

_ECHO = classes.UID("1.2.840.10008.1.1")  # Verification SOP Class
_FILMS = (
    classes.ComputedRadiographyImageStorage,
    classes.DigitalXRayImageStorageForPresentation,
    classes.DigitalXRayImageStorageForProcessing,
    classes.DigitalIntraOralXRayImageStorageForPresentation,
    classes.DigitalIntraOralXRayImageStorageForProcessing,
    classes.DigitalMammographyXRayImageStorageForPresentation,
    classes.DigitalMammographyXRayImageStorageForProcessing,
    classes.XRayAngiographicImageStorage,
    classes.XRayRadiofluoroscopicImageStorage,
    classes.SecondaryCaptureImageStorage,
)
_SUCCESS, _FULL, _TOO_LARGE = 0x0000, 0xA700, 0xC000
_WARNINGS = (0xB000, 0xB006, 0xB007)  # stored, with a warning


@dataclass(frozen=True)
class Peer:
    """A remote node: its AE title and address."""

    title: str
    host: str
    port: int

    def __str__(self) -> str:
        return f"{self.title}@{self.host}:{self.port}"


def peer(text: str) -> Peer:
    """Parse AET@HOST:PORT. Raises UsageError.

    >>> peer("ARCHIVE@10.0.0.5:104")
    Peer(title='ARCHIVE', host='10.0.0.5', port=104)
    """
    parts = re.fullmatch(r"([^@]+)@(\[[0-9a-fA-F:]+\]|[^@:]+):(\d{1,5})", text)
    if parts is None or not 0 < int(parts[3]) < 65536:
        raise UsageError(f"--to {text}: use the form AET@HOST:PORT, such as ARCHIVE@10.0.0.5:104")
    return Peer(title(parts[1]), parts[2].strip("[]"), int(parts[3]))


def title(text: str) -> str:
    """Parse an AE title (PS3.5 6.2: 1 to 16 characters, no backslash or control character).

    Raises UsageError.
    """
    if not re.fullmatch(r"[ -\[\]-~]{1,16}", text) or not text.strip():
        raise UsageError(f"{text}: is not an AE title; use 1 to 16 ASCII characters, no backslash")
    return text.strip()


class Node:
    """A node that segments what it receives. `allow`: AE titles that may send; empty: any.

    Nothing that it logs identifies a patient.
    """

    def __init__(
        self,
        spool: Spool,
        engine: Engine,
        to: Peer,
        *,
        title: str = "BONESEG",
        allow: Sequence[str] = (),
        max_bytes: int = MAX_BYTES,
    ) -> None:
        self.spool, self.engine, self.to, self.title = spool, engine, to, title
        self._allow, self._max_bytes = list(allow), max_bytes
        self._stop, self._news = threading.Event(), threading.Condition()
        self._pause = 1.0  # between two attempts to send, with exponential backoff
        self._received: WeakKeyDictionary[Any, int] = WeakKeyDictionary()
        self._refused: WeakSet[Any] = WeakSet()
        self._link: Any = None  # the association with the receiving node
        self._lost = False  # whether the last attempt to send failed

    @contextmanager
    def running(self, host: str, port: int) -> Iterator[int]:
        """Listen on an address; yields the port. Current work is finished at the end.

        What is not finished within GRACE seconds stays on the spool for the next start. Raises
        ServiceError where the address is not available.
        """
        with muted("pynetdicom"), received_to_files(self.spool.coming):  # it logs datasets
            yield from self._running(host, port)

    def _running(self, host: str, port: int) -> Iterator[int]:
        entity = AE(self.title)
        entity.require_called_aet, entity.require_calling_aet = True, self._allow
        entity.add_supported_context(_ECHO)
        for kind in _FILMS:
            entity.add_supported_context(kind, ALL_TRANSFER_SYNTAXES)
        handlers: list[Any] = [(evt.EVT_C_STORE, self._store), (evt.EVT_DATA_RECV, self._weigh)]
        handlers += [(evt.EVT_C_ECHO, lambda event: _SUCCESS)]
        try:
            server = Listener.started(entity, (host, port), handlers, _remove_parts)
        except (OSError, OverflowError) as error:
            reason = getattr(error, "strerror", None) or error
            raise ServiceError(f"{host}:{port}: cannot listen ({reason})") from None
        work = [
            threading.Thread(target=self._repeat, args=(step,), daemon=True)
            for step in (self._segment_next, self._send_waiting)
        ]
        for thread in work:
            thread.start()
        try:
            yield int(server.server_address[1])
        finally:
            self._stop.set()
            self._wake()
            server.end()
            deadline = time.monotonic() + GRACE
            for thread in work:
                thread.join(max(0.0, deadline - time.monotonic()))
            if self._link is not None:  # the archive responds slowly, or not at all
                shut(self._link)
            if any(thread.is_alive() for thread in work):
                log.warning(f"not finished in {GRACE:.0f} s; current work stays on the spool")

    def _store(self, event: Any) -> int:
        """C-STORE: write the film to disk, then acknowledge."""
        self._received[event.assoc] = 0
        uid, path = str(event.request.AffectedSOPInstanceUID), event.dataset_path
        if path.stat().st_size > self._max_bytes:
            log.warning(f"film rejected: larger than {self._max_bytes >> 20} MiB")
            return _TOO_LARGE
        try:
            with path.open("rb") as file:
                self.spool.put("films", uid, iter(lambda: file.read(1 << 20), b""))
        except OutputError as error:  # no room in the spool, or on the disk
            log.warning(f"film rejected: {error}")
            return _FULL
        self._wake()
        return _SUCCESS

    def _weigh(self, event: Any) -> None:
        """Abort an association that sends an oversized film, or one that the disk cannot hold."""
        link = event.assoc
        self._received[link] = weight = self._received.get(link, 0) + len(event.data)
        place = self.spool.coming
        if weight > self._max_bytes + (self._max_bytes >> 4):  # the film, and its PDU headers
            reason = f"film rejected: larger than {self._max_bytes >> 20} MiB"
        elif link.is_established and shutil.disk_usage(place).free < LEAST_ROOM:
            reason = f"film rejected: no space left in {place}; free space there"
        else:
            return
        if link not in self._refused:
            self._refused.add(link)
            log.warning(reason)
            link.abort(block=False)

    def _repeat(self, step: Callable[[], float]) -> None:
        """Repeat a step until stopped; it returns how many seconds to wait before the next."""
        while not self._stop.is_set():
            try:
                pause = step()
            except Exception as error:  # keep running: a restart would meet it again
                log.error(f"{type(error).__name__} in the node; trying again")
                pause = LONGEST_PAUSE
            if pause:
                with self._news:
                    if not self._stop.is_set():
                        self._news.wait(pause)

    def _wake(self) -> None:
        with self._news:
            self._news.notify_all()

    def _segment_next(self) -> float:
        path = self.spool.next("films")
        if path is None:
            return 1.0
        name, begun = "a film", 0
        try:
            with suppress(Exception):  # reported below as not DICOM
                uid = str(read_file(path, pixels=False).SOPInstanceUID)
                name = label(hashed("film", uid), public_uid(uid, path))
            begun = self.spool.begin(path)
            if begun > TRIES:
                raise RadiographError(f"{name}: crashed the program {TRIES} times")
            found, packed = answer(path, self.engine, name), BytesIO()
            found.save_as(packed, enforce_file_format=True)
            self.spool.put("answers", str(found.SOPInstanceUID), [packed.getvalue()])
        except OutputError as error:  # the disk is full: not a fault of the film
            log.error(f"{error}")
            self.spool.put_back(path)
            return LONGEST_PAUSE
        except Exception as error:  # a film must not stop the node
            if isinstance(error, DecoderDiedError) and begun < TRIES:  # perhaps out of memory
                log.warning(f"{error}; retrying once")
                self.spool.put_last(path)
                return 0
            reason = str(error) if isinstance(error, BonesegError) else type(error).__name__
            words = reason if reason.startswith(name) else f"{name}: {reason}"
            log.error(f"{words}; moved to {self.spool.folder / 'failed'}")
            self.spool.fail(path)
            return 0
        log.info(f"{name}: segmented")
        self.spool.done(path)
        self._wake()
        return 0

    def _send_waiting(self) -> float:
        """Send all queued segmentations in one association; returns how long to wait."""
        if self.spool.next("answers") is None:
            self._pause = 1.0
            return 1.0
        entity = AE(self.title)
        entity.network_timeout = entity.acse_timeout = entity.dimse_timeout = TIMEOUT
        entity.connection_timeout = TIMEOUT
        entity.add_requested_context(classes.SegmentationStorage)
        guards: list[Any] = [(evt.EVT_CONN_OPEN, bound)]
        link = self._link = entity.associate(
            self.to.host, self.to.port, ae_title=self.to.title, evt_handlers=guards
        )
        if not link.is_established:
            return self._later(
                "rejects the association" if link.is_rejected else "cannot be reached"
            )
        try:
            while (path := self.spool.next("answers")) is not None and not self._stop.is_set():
                if (trouble := self._send(link, path)) is not None:
                    self.spool.put_last(path)  # the fault may be that of this one only
                    return self._later(trouble)
                if self._lost:
                    log.info(f"{self.to}: responds again")
                self._pause, self._lost = 1.0, False
        finally:
            link.release()
            shut(link)
        return 0

    def _send(self, link: Any, path: Path) -> str | None:
        """Send one segmentation; returns why it must be resent, or None (status: PS3.4 B.2.3)."""
        try:
            found = pydicom.dcmread(path)
        except Exception:  # damaged on disk; the sender can resend the film
            log.error(f"{path.name}: a segmentation on the spool cannot be read; moved to failed")
            self.spool.fail(path)
            return None
        try:
            status = link.send_c_store(found).get("Status")
        except ValueError:  # no presentation context for it
            return "does not accept segmentations"
        except RuntimeError:  # the association has ended
            return "stops responding"
        if status is None:
            return "does not respond"
        if status & 0xFF00 == _FULL:
            return "is out of resources"
        if status == _SUCCESS or status in _WARNINGS:
            self.spool.done(path)
        else:
            log.info(
                f"error: {self.to}: rejected a segmentation ({status:04X}H); moved to "
                f"{self.spool.folder / 'failed'}"
            )
            self.spool.fail(path)
        return None

    def _later(self, reason: str) -> float:
        log.warning(f"{self.to}: {reason}; trying again in {self._pause:.0f} s")
        self._lost = True
        pause, self._pause = self._pause, min(2 * self._pause, LONGEST_PAUSE)
        self._stop.wait(pause)  # not shortened by a new film
        return 0


def _remove_parts(link: Any) -> None:
    """Remove partially received films when their association ends."""
    parts = [getattr(link.dimse.message, "_data_set_file", None)]
    with link.dimse.msg_queue.mutex:
        parts += [getattr(item[1], "_dataset_file", None) for item in link.dimse.msg_queue.queue]
    for part in parts:
        if part is not None:
            part.close()
            with suppress(OSError):
                Path(part.name).unlink()
