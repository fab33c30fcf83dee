"""Limits on request bodies: size, rate, number, and total size.

A body is read only once the application asks for it, after the guard has admitted the request. Its
deadline is extended by received bytes (as in mod_reqtimeout of Apache): a client that stalls gets a
408. At the maximum number, the slowest body is dropped for a new one, so that stalled uploads do
not block others.
"""

from __future__ import annotations

import asyncio
import math
from typing import Literal

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from boneseg.server.errors import BusyError, SlowError, TooLargeError

MOST = 64  # concurrent bodies
STALL = 20.0  # seconds without a byte
PACE = 16 * 2**10  # least bytes per second, after the first STALL seconds
FRESH = 0.3  # seconds for which a new body is not dropped
TOO_SLOW = "the body arrives too slowly; send it again"
TOGETHER = 4  # times the largest body: limit on the bytes of all open bodies


class Bodies:
    """ASGI middleware that limits what `receive` returns.

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
        """Register an open body. Raises BusyError where there is no room for it."""
        if len(self.open) >= self.most:
            slowest = min(self.open, key=_Body.pace)
            if slowest.pace() >= PACE:
                raise BusyError("too many concurrent uploads; retry in 1 s", 1)
            slowest.give_up()
        self.open.append(body)

    def check_sum(self, body: _Body) -> None:
        """Drop the largest body over the total limit. Raises BusyError if that is `body`."""
        if sum(other.taken for other in self.open) > TOGETHER * self.max_bytes:
            largest = max(self.open, key=lambda other: other.taken)
            largest.give_up()
            if largest is body:
                raise BusyError("too many large concurrent uploads; retry in 5 s", 5)


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
        if self._state == "done":  # only a disconnect can follow
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
        """Bytes per second so far; infinite for a new body."""
        seconds = self._loop.time() - self.began
        return math.inf if seconds < FRESH else self.taken / seconds

    def give_up(self) -> None:
        """Drop this body and end any wait for more of it."""
        self.close()
        self._state = "given up"
        if self._waiting is not None:
            self._waiting.reschedule(self._loop.time())

    def close(self) -> None:
        """Unregister a complete body."""
        if self in self.bodies.open:
            self.bodies.open.remove(self)
        self._state = "done"


def too_large(limit: int) -> str:
    """The error message for a body over the limit (bytes)."""
    return f"the upload exceeds the limit of {limit // 2**20} MiB; send one film at a time"
