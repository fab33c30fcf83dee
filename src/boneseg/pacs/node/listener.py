"""The node's server of associations, hardened against unauthenticated clients.

By itself, pynetdicom 3.0 reads a PDU of any announced length (up to 4 GiB) into memory, waits
indefinitely for the rest of a PDU, and counts idle connections as associations, so that a few of
them block the node. Its server class and its events allow adding these limits:

    PDU                 refused by its announced length (PS3.8 9.3.1); must arrive in limited time
    connection          must request an association within 5 s (the ARTIM timer, PS3.8 9.1.5); at
                        most 64 without one, of which the oldest is closed first
    association         counted once requested with a known AE title; at most 8
    message             at most 1 MiB in memory and 8 queued; films are written to disk as received
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress

from pynetdicom import AE, evt
from pynetdicom.association import Association
from pynetdicom.events import Event, EventHandlerType
from pynetdicom.presentation import PresentationContext
from pynetdicom.transport import AssociationServer, AssociationSocket

from boneseg._util.logs import log

ARTIM = 5  # seconds from a connection to its request for an association
TIMEOUT = 30  # seconds for each PDU of an association, and without any
MAX_REQUEST = 1 << 18  # bytes of an A-ASSOCIATE-RQ: 128 contexts of 40 syntaxes have 140 kB
MAX_PDU = 1 << 20  # bytes of any other PDU: some senders exceed the 16 KiB that the node announces
MAX_HELD = 1 << 20  # bytes of a message in memory
MAX_WAITING = 8  # unanswered messages of an association
MAX_CONNECTIONS = 64  # without an association
MAX_ASSOCIATIONS = 8

_Request = socket.socket | tuple[bytes, socket.socket]
_LIMIT_EXCEEDED = (0x02, 0x03, 0x02)  # transient; local limit exceeded (PS3.8 9.3.4)
_REJECTED = {0x03: "not listed in --from", 0x07: "it called {!r}, which is not this node's title"}
_POLL = 0.01  # seconds between polls of an idle connection; pynetdicom's 0.001 saturates a core


class BoundedSocket(AssociationSocket):
    """A socket with limits on length and time."""

    opened: float

    def recv(self, nr_bytes: int) -> bytearray:
        """Read `nr_bytes`; fewer where the connection ends. Raises OSError."""
        if self.assoc.is_acceptor and self.assoc.requestor.primitive is None:
            limit, deadline = MAX_REQUEST, self.opened + ARTIM
        else:
            limit, deadline = MAX_PDU, time.monotonic() + TIMEOUT
        if nr_bytes > limit:
            log.warning(
                f"{_host(self.assoc)}: connection closed, it announced a PDU of {nr_bytes} bytes"
            )
            raise ConnectionAbortedError
        read, connection = bytearray(), self.socket
        while connection is not None and len(read) < nr_bytes:
            connection.settimeout(max(deadline - time.monotonic(), 0.001))
            part = connection.recv(min(nr_bytes - len(read), 1 << 16))
            if not part:
                break
            read += part
        if connection is not None:
            connection.settimeout(TIMEOUT)  # for what is sent
        return read


class _Shared(list[PresentationContext]):
    """Presentation contexts shared by all associations: a copy for each takes 20 ms."""

    def __deepcopy__(self, memo: object) -> _Shared:
        return self


def limit_connection(event: Event) -> None:
    """Apply the limits to a new connection, incoming or outgoing (a handler of EVT_CONN_OPEN)."""
    limited = event.assoc.dul.socket
    assert limited is not None
    limited.__class__ = BoundedSocket  # pynetdicom creates its sockets and has no other hook
    assert isinstance(limited, BoundedSocket)
    limited.opened = time.monotonic()
    event.assoc.dul._run_loop_delay = _POLL


def disconnect(association: Association) -> None:
    """Close the connection of an association at once, so that no thread waits for it."""
    guarded = getattr(association.dul, "socket", None)
    connection = getattr(guarded, "socket", None)
    if connection is not None:
        with suppress(OSError):
            connection.shutdown(socket.SHUT_RDWR)


class Listener(AssociationServer):
    """A server of associations. `forget` is called with each that has ended."""

    request_queue_size = 128  # backlog of the operating system
    forget: Callable[[Association], None] = staticmethod(lambda association: None)

    @classmethod
    def started(
        cls,
        entity: AE,
        address: tuple[str, int],
        handlers: list[EventHandlerType],
        forget: Callable[[Association], None],
    ) -> Listener:
        """Start a listener on an address, in a thread. Raises OSError and OverflowError."""
        entity.maximum_associations = MAX_CONNECTIONS + MAX_ASSOCIATIONS + 1  # `_admit` decides
        entity.acse_timeout = ARTIM
        entity.network_timeout = entity.dimse_timeout = TIMEOUT
        found = entity.make_server(address, evt_handlers=handlers, server_class=cls)
        assert isinstance(found, cls)
        found.forget = forget
        found.contexts = _Shared(found.contexts)
        found._open, found._admitted = [], set()
        found._lock = threading.Lock()
        for event, handler in (
            (evt.EVT_CONN_OPEN, found._opened),
            (evt.EVT_REQUESTED, found._admit),
            (evt.EVT_REJECTED, found._rejected),
            (evt.EVT_CONN_CLOSE, _end_unrequested),
            (evt.EVT_DATA_RECV, _limit_message),
        ):
            found.bind(event, handler)
        threading.Thread(target=found.serve_forever, daemon=True).start()
        return found

    _open: list[
        Association
    ]  # connections with running threads; changed only by the server's thread
    _admitted: set[Association]
    _lock: threading.Lock

    def process_request(self, request: _Request, client_address: tuple[str, int] | str) -> None:
        """Accept a connection; at the limit, close the oldest without an association."""
        self._reap()
        waiting = [one for one in self._open if one not in self._admitted]
        for one in waiting[: max(0, len(waiting) - MAX_CONNECTIONS + 1)]:
            disconnect(one)
        super().process_request(request, client_address)

    def service_actions(self) -> None:
        """Called twice a second, and after each connection."""
        self._reap()
        super().service_actions()

    def handle_error(self, request: _Request, client_address: tuple[str, int] | str) -> None:
        """Log a failed connection; socketserver would print a traceback."""
        host = client_address if isinstance(client_address, str) else client_address[0]
        log.error(f"{host}: a connection failed in the node")
        self.shutdown_request(request)

    def end(self) -> None:
        """Stop listening and end all associations."""
        super(AssociationServer, self).shutdown()
        self.server_close()
        for one in self._open:
            if one.is_established:
                one.abort(block=False)
        if any(one.is_established for one in self._open):
            time.sleep(0.2)  # for the A-ABORT to be sent
        for one in self._open:
            disconnect(one)
        deadline = time.monotonic() + ARTIM
        for one in self._open:
            one.join(max(0, deadline - time.monotonic()))
        self._reap()

    def _opened(self, event: Event) -> None:
        limit_connection(event)
        self._open.append(event.assoc)

    def _admit(self, event: Event) -> None:
        with self._lock:
            full = len(self._admitted) >= MAX_ASSOCIATIONS
            if not full:
                self._admitted.add(event.assoc)
        if full:
            log.warning(
                f"{_host(event.assoc)}: rejected, {MAX_ASSOCIATIONS} associations are already open"
            )
            event.assoc.acse.send_reject(*_LIMIT_EXCEEDED)
            event.assoc.kill()

    def _rejected(self, event: Event) -> None:
        link = event.assoc
        with self._lock:
            self._admitted.discard(link)
        reason = _REJECTED.get(int(getattr(link.acceptor.primitive, "diagnostic", 0)), "")
        request = link.requestor.primitive
        title = str(getattr(request, "calling_ae_title", "")).strip()
        called = str(getattr(request, "called_ae_title", "")).strip()
        log.warning(f"AE title {title!r} at {_host(link)}: rejected, {reason.format(called)}")

    def _reap(self) -> None:
        """Forget the connections whose threads have ended."""
        for one in self._open[:]:
            if one.is_alive() or one.dul.is_alive():
                continue
            disconnect(one)
            self._open.remove(one)
            with self._lock:
                self._admitted.discard(one)
            self.forget(one)


def _end_unrequested(event: Event) -> None:
    """End a closed connection without a request now; pynetdicom would wait for the ARTIM timer."""
    if event.assoc.is_acceptor and event.assoc.requestor.primitive is None:
        event.assoc.dul.to_user_queue.put(None)


def _limit_message(event: Event) -> None:
    """Abort an association whose messages exceed the limits."""
    link = event.assoc
    message = link.dimse.message
    held = 0
    if message is not None:
        held = sum(part.tell() for part in (message.encoded_command_set, message.data_set) if part)
    if held > MAX_HELD or link.dimse.msg_queue.qsize() > MAX_WAITING:
        log.warning(f"{_host(link)}: aborted, its messages exceed the limits")
        link.abort(block=False)


def _host(link: Association) -> str:
    remote = link.requestor if link.is_acceptor else link.acceptor
    return str(getattr(remote.address_info, "address", "a connection"))
