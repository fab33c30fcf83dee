"""The /metrics page, in the Prometheus text format (version 0.0.4)."""

from __future__ import annotations

import os
import threading
from collections import Counter
from pathlib import Path

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from boneseg.server.light_box import LightBox

BUCKETS = (0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)  # seconds


class Requests:
    """Request counts by route and status, and the latency of segmentation requests."""

    def __init__(self) -> None:
        self.answered: Counter[tuple[str, int]] = Counter()
        self.seconds: Counter[float] = Counter()
        self.sum = 0.0
        self.count = 0
        self._lock = threading.Lock()

    def answer(self, route: str, status: int) -> None:
        with self._lock:
            self.answered[route, status] += 1

    def took(self, seconds: float) -> None:
        with self._lock:
            self.sum, self.count = self.sum + seconds, self.count + 1
            for bucket in BUCKETS:
                self.seconds[bucket] += seconds <= bucket


class Counting:
    """ASGI middleware that counts the responses of each route."""

    def __init__(self, app: ASGIApp, *, requests: Requests) -> None:
        self.app, self.requests = app, requests

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def counted_send(message: Message) -> None:
            if message["type"] == "http.response.start":
                route = getattr(scope.get("route"), "path", "other")
                self.requests.answer(route, message["status"])
            await send(message)

        await self.app(scope, receive, counted_send if scope["type"] == "http" else send)


def metrics_text(box: LightBox, requests: Requests) -> str:
    """Counters since the start, and current gauges."""
    counts, lines = box.desk.counts, []

    def family(name: str, kind: str, what: str, *samples: tuple[str, float]) -> None:
        lines.append(f"# HELP boneseg_{name} {what}")
        lines.append(f"# TYPE boneseg_{name} {kind}")
        lines.extend(f"boneseg_{name}{labels} {value:g}" for labels, value in samples)

    answered = sorted(requests.answered.items())
    family(
        "requests_total",
        "counter",
        "Requests answered.",
        *(
            (f'{{route="{route}",status="{status}"}}', number)
            for (route, status), number in answered
        ),
    )
    family(
        "segment_seconds",
        "histogram",
        "Latency of segmentation requests.",
        *((f'_bucket{{le="{b:g}"}}', requests.seconds[b]) for b in BUCKETS),
        ('_bucket{le="+Inf"}', requests.count),
        ("_sum", requests.sum),
        ("_count", requests.count),
    )
    family(
        "films_total",
        "counter",
        "Films processed by the workers.",
        ('{outcome="done"}', counts.done),
        ('{outcome="failed"}', counts.failed),
    )
    family("worker_deaths_total", "counter", "Workers replaced.", ("", box.desk.deaths))
    family("refused_total", "counter", "Films refused by a full queue.", ("", counts.refused))
    family("queue_waiting", "gauge", "Films in the queue.", ("", box.desk.waiting))
    family(
        "resident_bytes",
        "gauge",
        "Resident memory of each process.",
        ('{process="server"}', resident_bytes(None)),
        *(
            (f'{{process="worker {number}"}}', resident_bytes(pid))
            for number, pid in enumerate(box.desk.pids, 1)
        ),
    )
    return "\n".join(lines) + "\n"


def resident_bytes(pid: int | None) -> int:
    """The resident memory of a process (None: this one); 0 where there is no /proc."""
    try:
        pages = Path(f"/proc/{pid or 'self'}/statm").read_text(encoding="ascii").split()[1]
    except (OSError, IndexError):
        return 0
    return int(pages) * os.sysconf("SC_PAGE_SIZE")
