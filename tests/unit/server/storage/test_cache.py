"""Findings are kept within a limit of space."""

from __future__ import annotations

import os
from dataclasses import asdict
from pathlib import Path

from boneseg.server.storage.cache import Cache
from boneseg.server.storage.results import FILM, StoredFacts
from tests.support.verdicts import GOOD


def test_the_cache_evicts_in_order_if_the_clock_is_set_back(tmp_path: Path) -> None:
    cache = Cache(tmp_path, most_bytes=250)
    facts = StoredFacts(
        height=1,
        width=1,
        spacing_mm=None,
        spacing_kind="",
        threshold=0.5,
        area_px=0,
        area_mm2=None,
        **asdict(GOOD),
        dicom=False,
        tags={},
        seconds=0.1,
        model="",
        stamp="",
    )
    for number, film in enumerate("abcd"):  # each a day before the one that was looked at last
        cache.folder(film).mkdir()
        path = cache.file(film, FILM)
        path.write_bytes(bytes(100))
        os.utime(path, (1e9 - number * 86400,) * 2)
        cache.add(film, facts)
    assert [film for film in "abcd" if cache.file(film, FILM).exists()] == ["b", "c", "d"]
    cache.add("b", facts)
    cache.add("d", facts)
    cache.most_bytes = 100
    cache.add("d", facts)
    assert [film for film in "abcd" if cache.file(film, FILM).exists()] == ["b", "d"]
