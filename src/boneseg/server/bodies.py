"""Bounds on request bodies: their size, their pace, how many at a time, and all together.

A body is read only when the application asks for it, which is after the guard has admitted the
request. Its deadline moves with what arrives (as in mod_reqtimeout of Apache): a client that stops
or trickles is answered 408. Where all places are taken, the slowest body makes room for a new one,
so that hanging bodies lock nobody out.
"""

from __future__ import annotations

import asyncio
import math
from typing import Literal

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from boneseg.server.refusals import BusyError, SlowError, TooLargeError

MOST = 64  # bodies at a time
STALL = 20.0  # seconds without a byte
PACE = 16 * 2**10  # bytes a second, the least after the first STALL seconds
FRESH = 0.3  # seconds in which a body does not have to make room
TOO_SLOW = "the body comes too slowly; send it again"
TOGETHER = 4  # times the largest body: bytes of all that are on the way


class Bodies:
    """ASGI middleware that bounds what `receive` gives.

    Within the application, `receive` raises TooLargeError, SlowError and BusyError.
    """

    def __init__(
        self, app: ASGIApp, *, max_bytes: int, most: int = MOST, stall: float = STALL
    ) -> None:
        self.app, self.max_bytes, self.most, self.stall = app, max_bytes, most, stall
        self.open: list[_Body] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        body = _Body(self, receive)
        try:
            await self.app(scope, body.receive if scope["type"] == "http" else receive, send)
        finally:
            body.close()

    def admit(self, body: _Body) -> None:
        """Count a body among those on the way. Raises BusyError where there is no room for it."""
        if len(self.open) >= self.most:
            slowest = min(self.open, key=_Body.pace)
            if slowest.pace() >= PACE:
                raise BusyError("too many uploads at a time; come again in 1 s", 1)
            slowest.give_up()
        self.open.append(body)

    def check_sum(self, body: _Body) -> None:
        """Give up the largest where all are too many bytes. Raises BusyError if that is `body`."""
        if sum(other.taken for other in self.open) > TOGETHER * self.max_bytes:
            largest = max(self.open, key=lambda other: other.taken)
            largest.give_up()
            if largest is body:
                raise BusyError("too many large uploads at a time; come again in 5 s", 5)


class _Body:
    """The body of one request."""

    def __init__(self, bodies: Bodies, receive: Receive) -> None:
        self.bodies, self._receive = bodies, receive
        self._loop = asyncio.get_running_loop()
        self.began, self.taken = 0.0, 0
        self._state: Literal["unread", "open", "given up", "done"] = "unread"
        self._waiting: asyncio.Timeout | None = None

    async def receive(self) -> Message:
        """The next message. Raises TooLargeError, SlowError and BusyError."""
        if self._state == "done":  # what comes now says only that the client is gone
            return await self._receive()
        if self._state == "unread":
            self.bodies.admit(self)
            self._state, self.began = "open", self._loop.time()
        try:
            if self._state == "given up":
                raise SlowError(TOO_SLOW)
            message = await self._next()
            self.taken += len(message.get("body", b""))
            if self.taken > self.bodies.max_bytes:
                raise TooLargeError(too_large(self.bodies.max_bytes))
            self.bodies.check_sum(self)
        except BaseException:
            self.give_up()
            raise
        if not message.get("more_body", False):
            self.close()
        return message

    async def _next(self) -> Message:
        pace = min(self._loop.time(), self.began + self.taken / PACE)
        deadline = pace + self.bodies.stall
        try:
            async with asyncio.timeout_at(deadline) as self._waiting:
                return await self._receive()
        except TimeoutError:
            raise SlowError(TOO_SLOW) from None
        finally:
            self._waiting = None

    def pace(self) -> float:
        """Bytes a second so far; infinite for one that has just begun."""
        seconds = self._loop.time() - self.began
        return math.inf if seconds < FRESH else self.taken / seconds

    def give_up(self) -> None:
        """Leave the place of this body; waiting for more of it ends now."""
        self.close()
        self._state = "given up"
        if self._waiting is not None:
            self._waiting.reschedule(self._loop.time())

    def close(self) -> None:
        """Leave the place of a body that has come to its end."""
        if self in self.bodies.open:
            self.bodies.open.remove(self)
        self._state = "done"


def too_large(limit: int) -> str:
    """Why a body is refused."""
    return f"more than the {limit // 2**20} MiB that an upload may have; send one film at a time"
