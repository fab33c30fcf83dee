"""Limits on connections, which apply before authentication.

uvicorn waits indefinitely for a request header. Here it must arrive within HEADER seconds, on new
and on kept-alive connections; a response that the client does not read is aborted after READ
seconds; and at MOST connections the one idle for longest is closed for a new one.
"""

from __future__ import annotations

import asyncio

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

MOST = 256  # concurrent connections
HEADER = 10.0  # seconds for the header of a request
READ = 60.0  # seconds for a client to read what was sent
TIMEOUT_RESPONSE = b"HTTP/1.1 408 Request Timeout\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"


class Connection(H11Protocol):
    """The HTTP/1.1 protocol for `uvicorn.Config(http=Connection)`."""

    most, header, read = MOST, HEADER, READ
    waiting_since: float | None = None  # for the header of a request
    _header_timer: asyncio.TimerHandle | None = None
    _read_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._follow()
        if len(self.connections) > self.most:
            self._make_room()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._follow()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._follow()

    def send_400_response(self, msg: str) -> None:
        """Respond to invalid HTTP unless a response has begun, which uvicorn does not check."""
        if self.cycle is not None:
            self.cycle.disconnected = True  # drop the rest of the response
            self.cycle.message_event.set()
        if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            super().send_400_response(msg)
        else:
            self.transport.close()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._read_timer = self.loop.call_later(self.read, self.transport.abort)

    def resume_writing(self) -> None:
        super().resume_writing()
        _cancel(self._read_timer)
        self._read_timer = None
        self._follow()

    def connection_lost(self, exc: Exception | None) -> None:
        _cancel(self._header_timer)
        _cancel(self._read_timer)
        super().connection_lost(exc)

    def _follow(self) -> None:
        """Start the timer while waiting for a header, and stop it once one has arrived."""
        responded = self.cycle is None or self.cycle.response_complete
        waits = responded and self._read_timer is None
        if waits and self.waiting_since is None:
            self.waiting_since = self.loop.time()
            self._header_timer = self.loop.call_later(self.header, self._end_wait)
        elif not waits and self.waiting_since is not None:
            self.waiting_since = None
            _cancel(self._header_timer)

    def _end_wait(self) -> None:
        if self.cycle is None and not self.transport.is_closing():
            self.transport.write(TIMEOUT_RESPONSE)
            self.transport.close()
        else:  # an unread refused body, or an unread response
            self.transport.abort()

    def _make_room(self) -> None:
        waiting = [
            (other.waiting_since, id(other), other)
            for other in self.connections
            if isinstance(other, Connection) and other.waiting_since is not None
        ]
        longest = min(waiting)[2] if waiting else self
        longest.transport.abort()


def _cancel(timer: asyncio.TimerHandle | None) -> None:
    if timer is not None:
        timer.cancel()
