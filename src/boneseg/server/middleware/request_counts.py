"""Request counts by route and status, and the latency of segmentation requests."""

from __future__ import annotations

import threading
from collections import Counter

from starlette.types import ASGIApp, Message, Receive, Scope, Send

BUCKETS = (0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)  # seconds


class RequestCounts:
    """Counters since the start. Thread-safe."""

    def __init__(self) -> None:
        self.answered: Counter[tuple[str, int]] = Counter()  # by route and status
        self.within: Counter[float] = Counter()  # segmentations within each of BUCKETS
        self.seconds = 0.0  # of all segmentations together
        self.segmented = 0
        self._lock = threading.Lock()

    def count(self, route: str, status: int) -> None:
        with self._lock:
            self.answered[route, status] += 1

    def add_segmentation(self, seconds: float) -> None:
        with self._lock:
            self.seconds, self.segmented = self.seconds + seconds, self.segmented + 1
            for bucket in BUCKETS:
                self.within[bucket] += seconds <= bucket


class CountRequests:
    """ASGI middleware that counts the responses of each route."""

    def __init__(self, app: ASGIApp, *, counts: RequestCounts) -> None:
        self.app, self.counts = app, counts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def counted_send(message: Message) -> None:
            if message["type"] == "http.response.start":
                route = getattr(scope.get("route"), "path", "other")
                self.counts.count(route, message["status"])
            await send(message)

        await self.app(scope, receive, counted_send if scope["type"] == "http" else send)
