"""The metrics page in the Prometheus text format (version 0.0.4)."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from boneseg.server.light_box import LightBox
from boneseg.server.middleware.request_counts import BUCKETS, RequestCounts

Sample = tuple[str, float]  # labels, or a suffix of the name; and the value


def metrics_text(box: LightBox, counts: RequestCounts) -> str:
    """Counters since the start, and current gauges."""
    jobs, answered = box.jobs, sorted(counts.answered.items())
    requests = [
        (f'{{route="{route}",status="{status}"}}', float(number))
        for (route, status), number in answered
    ]
    latency = [(f'_bucket{{le="{limit:g}"}}', float(counts.within[limit])) for limit in BUCKETS]
    latency += [('_bucket{le="+Inf"}', counts.segmented), ("_sum", counts.seconds)]
    latency += [("_count", counts.segmented)]
    films = [('{outcome="done"}', jobs.counts.done), ('{outcome="failed"}', jobs.counts.failed)]
    refused = [("", jobs.counts.refused)]
    lines = [
        *_family("requests_total", "counter", "Requests answered.", requests),
        *_family("segment_seconds", "histogram", "Latency of segmentation requests.", latency),
        *_family("films_total", "counter", "Films processed by the workers.", films),
        *_family("worker_deaths_total", "counter", "Workers replaced.", [("", jobs.deaths)]),
        *_family("refused_total", "counter", "Films refused by a full queue.", refused),
        *_family("queue_waiting", "gauge", "Films in the queue.", [("", jobs.waiting)]),
        *_family("resident_bytes", "gauge", "Resident memory of each process.", _memory(box)),
    ]
    return "\n".join(lines) + "\n"


def _family(name: str, kind: str, description: str, samples: Sequence[Sample]) -> list[str]:
    """The lines of a metric."""
    return [
        f"# HELP boneseg_{name} {description}",
        f"# TYPE boneseg_{name} {kind}",
        *(f"boneseg_{name}{labels} {value:g}" for labels, value in samples),
    ]


def _memory(box: LightBox) -> list[Sample]:
    workers = [
        (f'{{process="worker {number}"}}', float(resident_bytes(pid)))
        for number, pid in enumerate(box.jobs.pids, 1)
    ]
    return [('{process="server"}', resident_bytes(None)), *workers]


def resident_bytes(pid: int | None) -> int:
    """The resident memory of a process (None: this one); 0 where there is no /proc."""
    try:
        pages = Path(f"/proc/{pid or 'self'}/statm").read_text(encoding="ascii").split()[1]
    except (OSError, IndexError):
        return 0
    return int(pages) * os.sysconf("SC_PAGE_SIZE")
