"""Limits on request bodies: size, rate, number, and total size.

A body is read only once the application asks for it, after access control has admitted the
request. Its deadline is extended by received bytes (as in mod_reqtimeout of Apache): a client that
stalls gets a 408. At the maximum number, the slowest body is dropped for a new one, so that stalled
uploads do not block others.
"""

from __future__ import annotations

import asyncio
import math
from typing import Literal

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from boneseg.server.errors import BusyError, SlowError, TooLargeError

MOST_BODIES = 64  # open at a time
STALL_TIMEOUT = 20.0  # seconds without a byte
LEAST_RATE = 16 * 2**10  # least bytes per second, after the first STALL_TIMEOUT seconds
GRACE = 0.3  # seconds for which a new body is not dropped
TOO_SLOW = "the body arrives too slowly; send it again"
TOTAL_FACTOR = 4  # times the largest body: limit on the bytes of all open bodies


class BodyLimits:
    """ASGI middleware that limits what `receive` returns.

    Within the application, `receive` raises TooLargeError, SlowError and BusyError.
    """

    def __init__(
        self, app: ASGIApp, *, max_bytes: int, most: int = MOST_BODIES, stall: float = STALL_TIMEOUT
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
            slowest = min(self.open, key=_Body.rate)
            if slowest.rate() >= LEAST_RATE:
                raise BusyError("too many concurrent uploads; retry in 1 s", 1)
            slowest.drop()
        self.open.append(body)

    def check_total(self, body: _Body) -> None:
        """Drop the largest body over the total limit. Raises BusyError if that is `body`."""
        if sum(other.received for other in self.open) > TOTAL_FACTOR * self.max_bytes:
            largest = max(self.open, key=lambda other: other.received)
            largest.drop()
            if largest is body:
                raise BusyError("too many large concurrent uploads; retry in 5 s", 5)


class _Body:
    """The body of one request."""

    def __init__(self, limits: BodyLimits, receive: Receive) -> None:
        self.limits, self._receive = limits, receive
        self._loop = asyncio.get_running_loop()
        self.began, self.received = 0.0, 0
        self._state: Literal["unread", "open", "dropped", "done"] = "unread"
        self._waiting: asyncio.Timeout | None = None

    async def receive(self) -> Message:
        """The next message. Raises TooLargeError, SlowError and BusyError."""
        if self._state == "done":  # only a disconnect can follow
            return await self._receive()
        if self._state == "unread":
            self.limits.admit(self)
            self._state, self.began = "open", self._loop.time()
        try:
            if self._state == "dropped":
                raise SlowError(TOO_SLOW)
            message = await self._next()
            self.received += len(message.get("body", b""))
            if self.received > self.limits.max_bytes:
                raise TooLargeError(too_large(self.limits.max_bytes))
            self.limits.check_total(self)
        except BaseException:
            self.drop()
            raise
        if not message.get("more_body", False):
            self.close()
        return message

    async def _next(self) -> Message:
        paced = min(self._loop.time(), self.began + self.received / LEAST_RATE)
        deadline = paced + self.limits.stall
        try:
            async with asyncio.timeout_at(deadline) as self._waiting:
                return await self._receive()
        except TimeoutError:
            raise SlowError(TOO_SLOW) from None
        finally:
            self._waiting = None

    def rate(self) -> float:
        """Bytes per second so far; infinite for a new body."""
        seconds = self._loop.time() - self.began
        return math.inf if seconds < GRACE else self.received / seconds

    def drop(self) -> None:
        """Drop this body and end any wait for more of it."""
        self.close()
        self._state = "dropped"
        if self._waiting is not None:
            self._waiting.reschedule(self._loop.time())

    def close(self) -> None:
        """Unregister a complete body."""
        if self in self.limits.open:
            self.limits.open.remove(self)
        self._state = "done"


def too_large(limit: int) -> str:
    """The error message for a body over the limit (bytes)."""
    return f"the upload exceeds the limit of {limit // 2**20} MiB; send one film at a time"
