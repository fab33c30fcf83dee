"""Exponential backoff."""

from __future__ import annotations

from boneseg.pacs.dicomweb.retries import Retries
from tests.support.dicomweb import NOTHING, Clock


def test_failures_are_retried_at_least_once_an_hour():
    clock = Clock()
    retries, pauses = Retries(clock), []
    for _ in range(12):
        retries.failed("film 1")
        pauses.append(retries.when("film 1") - clock())
        assert not retries.is_due("film 1") and retries.is_due("film 2")
        clock.time = retries.when("film 1")
        assert retries.is_due("film 1")
    assert pauses == [10, 20, 40, 80, 160, 320, 640, 1280, 2560, 3600, 3600, 3600]
    retries.done("film 1")
    retries.give_up("film 2")
    clock.time = 1e9
    assert retries.is_due("film 1") and not retries.is_due("film 2")


NOTHING += [{"Value": [None]}, {"Value": [{}]}, {"Value": [[]]}, {"Value": {"Value": ["1.2"]}}]
