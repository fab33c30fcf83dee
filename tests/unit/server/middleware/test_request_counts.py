"""Requests are counted by route and status, segmentations by their time."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starlette.testclient import TestClient

from boneseg.server.middleware.request_counts import BUCKETS, CountRequests, RequestCounts


def test_answers_are_counted_by_route_and_not_by_path() -> None:
    async def film(request: object) -> PlainTextResponse:
        return PlainTextResponse("film")

    app, counts = Starlette(routes=[Route("/films/{film}", film)]), RequestCounts()
    with TestClient(CountRequests(app, counts=counts)) as client:
        for path in ("/films/1", "/films/2", "/other", "/../etc/passwd"):
            client.get(path)
    assert sum(counts.answered.values()) == 4
    assert counts.answered["other", 404] == 2
    assert {status for _, status in counts.answered} == {200, 404}
    assert all("passwd" not in route for route, _ in counts.answered)


def test_buckets_are_cumulative() -> None:
    counts = RequestCounts()
    for seconds in (0.05, 0.1, 0.3, 20.0):
        counts.add_segmentation(seconds)
    assert [counts.within[bucket] for bucket in BUCKETS] == [2, 2, 3, 3, 3, 3, 3]
    assert (counts.segmented, round(counts.seconds, 2)) == (4, 20.45)


def test_no_count_is_lost_among_threads() -> None:
    counts = RequestCounts()
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: counts.count("/", 200), range(2000)))
    assert counts.answered["/", 200] == 2000
