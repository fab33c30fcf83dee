"""A DICOM node: receives films by C-STORE and sends their segmentations to another node.

    node = Node(spool, engine, parse_peer("ARCHIVE@10.0.0.5:104"), allow=["MODALITY"])
    with node.running("0.0.0.0", 11112):
        ...

One thread segments, another sends, so that an unreachable archive does not stop segmentation until
the spool is full. PS3.4 annex B (storage), PS3.7 (DIMSE), PS3.8 (associations).
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from pydicom.uid import UID
from pynetdicom import AE, ALL_TRANSFER_SYNTAXES, evt
from pynetdicom.events import EventHandlerType

from boneseg._util.logs import log
from boneseg._util.quiet import muted
from boneseg._util.runtime import received_to_files
from boneseg.errors import ServiceError
from boneseg.inference.engine import Engine
from boneseg.masks.verdict import Grade
from boneseg.pacs.node.listener import Listener
from boneseg.pacs.node.peer import Peer
from boneseg.pacs.node.receiver import FILMS, Receiver, remove_parts
from boneseg.pacs.node.segmenter import Segmenter
from boneseg.pacs.node.sender import Sender
from boneseg.pacs.node.spool import Spool
from boneseg.pacs.node.status import SUCCESS
from boneseg.radiograph.film import MAX_BYTES

GRACE = 30.0  # seconds to finish current work when the node is stopped
ERROR_PAUSE = 60.0  # seconds after an unexpected error

_VERIFICATION = UID("1.2.840.10008.1.1")  # SOP class of C-ECHO


class Node:
    """A node that segments what it receives.

    to: receives the segmentations. title: AE title of this node. allow: AE titles that may send;
    empty: any. max_bytes: of one film. least: masks with a verdict below it are not sent. Nothing
    that it logs identifies a patient.
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
        least: Grade = "unsuitable",
    ) -> None:
        self.spool, self._title, self._allow = spool, title, list(allow)
        self._stopped, self._changed = threading.Event(), threading.Condition()
        self._receiver = Receiver(spool, max_bytes, self._notify)
        self._segmenter = Segmenter(spool, engine, self._notify, least)
        self._sender = Sender(spool, to, title, self._stopped)

    @contextmanager
    def running(self, host: str, port: int) -> Iterator[int]:
        """Listen on an address; yields the port. Current work is finished at the end.

        What is not finished within GRACE seconds stays on the spool for the next start. Raises
        ServiceError where the address is not available.
        """
        with muted("pynetdicom"), received_to_files(self.spool.coming):  # it logs datasets
            yield from self._running(host, port)

    def _running(self, host: str, port: int) -> Iterator[int]:
        listener = self._listen(host, port)
        threads = [
            threading.Thread(target=self._repeat, args=(step,), daemon=True)
            for step in (self._segmenter.step, self._sender.step)
        ]
        for thread in threads:
            thread.start()
        try:
            yield int(listener.server_address[1])
        finally:
            self._stopped.set()
            self._notify()
            listener.end()
            deadline = time.monotonic() + GRACE
            for thread in threads:
                thread.join(max(0.0, deadline - time.monotonic()))
            self._sender.disconnect()
            if any(thread.is_alive() for thread in threads):
                log.warning(f"not finished in {GRACE:.0f} s; current work stays on the spool")

    def _listen(self, host: str, port: int) -> Listener:
        """Start to accept associations. Raises ServiceError."""
        entity = AE(self._title)
        entity.require_called_aet = True
        entity.require_calling_aet = self._allow
        entity.add_supported_context(_VERIFICATION)
        for kind in FILMS:
            entity.add_supported_context(kind, ALL_TRANSFER_SYNTAXES)
        handlers: list[EventHandlerType] = [
            (evt.EVT_C_STORE, self._receiver.store),
            (evt.EVT_DATA_RECV, self._receiver.count_bytes),
            (evt.EVT_C_ECHO, lambda event: SUCCESS),
        ]
        try:
            return Listener.started(entity, (host, port), handlers, remove_parts)
        except (OSError, OverflowError) as error:
            reason = getattr(error, "strerror", None) or error
            raise ServiceError(
                f"{host}:{port}: cannot listen ({reason}); choose another --port or --host"
            ) from None

    def _repeat(self, step: Callable[[], float]) -> None:
        """Repeat a step until stopped; it returns how many seconds to wait before the next."""
        while not self._stopped.is_set():
            try:
                pause = step()
            except Exception as error:  # keep running: a restart would meet it again
                log.error(f"{type(error).__name__} in the node; trying again")
                pause = ERROR_PAUSE
            if pause:
                with self._changed:
                    if not self._stopped.is_set():
                        self._changed.wait(pause)

    def _notify(self) -> None:
        """End the waiting of all steps."""
        with self._changed:
            self._changed.notify_all()
