"""Bounds on request bodies: their size, their pace, how many at a time, and all together.

A body is read only when the application asks for it, which is after the guard has admitted the
request. Its deadline moves with what arrives (as in mod_reqtimeout of Apache): a client that stops
or trickles is answered 408. Where all places are taken, the body that has been still for longest
makes room for a new one, so that hanging bodies lock nobody out.
"""

from __future__ import annotations

import asyncio

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from boneseg.server.refusals import BusyError, SlowError, TooLargeError

MOST = 64  # bodies at a time
STALL = 20.0  # seconds without a byte
PACE = 16 * 2**10  # bytes a second, the least after the first STALL seconds
STILL = 1.0  # seconds without a byte after which a body may have to make room
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
        now = asyncio.get_running_loop().time()
        if len(self.open) >= self.most:
            stillest = min(self.open, key=lambda other: other.moved)
            if now - stillest.moved < STILL:
                raise BusyError("too many uploads at a time; come again in 1 s", 1)
            stillest.give_up()
        self.open.append(body)

    def check_sum(self) -> None:
        """Raises BusyError where all bodies together are too large."""
        if sum(body.taken for body in self.open) > TOGETHER * self.max_bytes:
            raise BusyError("too many large uploads at a time; come again in 5 s", 5)


class _Body:
    """The body of one request."""

    def __init__(self, bodies: Bodies, receive: Receive) -> None:
        self.bodies, self._receive = bodies, receive
        self._loop = asyncio.get_running_loop()
        self.began = self.moved = self._loop.time()
        self.taken = 0
        self._state = "unread"
        self._waiting: asyncio.Timeout | None = None

    async def receive(self) -> Message:
        """The next message. Raises TooLargeError, SlowError and BusyError."""
        if self._state == "done":  # what comes now says only that the client is gone
            return await self._receive()
        if self._state == "unread":
            self.bodies.admit(self)
            self._state, self.began = "open", self._loop.time()
        try:
            message = await self._next()
            self.taken += len(message.get("body", b""))
            if self.taken > self.bodies.max_bytes:
                raise TooLargeError(too_large(self.bodies.max_bytes))
            self.bodies.check_sum()
        except BaseException:
            self.close()
            raise
        if not message.get("more_body", False):
            self.close()
        return message

    async def _next(self) -> Message:
        self.moved, stall = self._loop.time(), self.bodies.stall
        deadline = min(self.moved, self.began + self.taken / PACE) + stall
        try:
            async with asyncio.timeout_at(deadline) as self._waiting:
                return await self._receive()
        except TimeoutError:
            raise SlowError("the body comes too slowly; send it again") from None
        finally:
            self._waiting = None

    def give_up(self) -> None:
        """End the wait for more of this body now, and leave its place."""
        if self._waiting is not None:
            self._waiting.reschedule(self._loop.time())
        self.close()

    def close(self) -> None:
        if self in self.bodies.open:
            self.bodies.open.remove(self)
        self._state = "done"


def too_large(limit: int) -> str:
    """Why a body is refused."""
    return f"more than the {limit // 2**20} MiB that an upload may have; send one film at a time"
