"""Metrics in Prometheus' text format."""

from __future__ import annotations

from fastapi.testclient import TestClient

from tests.support.lightbox import FOOT, post


def test_metrics_are_counted(client: TestClient) -> None:
    post(client, "foot.png", FOOT.read_bytes())
    lines = client.get("/metrics").text.splitlines()
    samples = dict(line.rsplit(" ", 1) for line in lines if not line.startswith("#"))
    assert float(samples['boneseg_requests_total{route="/api/segment",status="200"}']) >= 1
    assert float(samples["boneseg_segment_seconds_count"]) >= 1
    assert float(samples['boneseg_resident_bytes{process="worker 1"}']) > 5e7
