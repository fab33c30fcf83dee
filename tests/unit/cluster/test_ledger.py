from __future__ import annotations

import hashlib

import pytest

pytest.importorskip("ray", reason="needs ray: pip install 'boneseg[cluster]'")

from boneseg.cluster.ledger import Known, holds, ledger


def test_each_film_waits_once_in_order_and_none_that_is_done() -> None:
    with ledger() as films:
        assert films.done("b")
        assert [films.add(name, f"films/{name}") for name in "dbadcb"] == [
            Known.NEW, Known.DONE, Known.NEW, Known.ADDED, Known.NEW, Known.ADDED]  # fmt: skip
        assert not films.done("b")
        assert list(films.waiting()) == ["films/d", "films/a", "films/c"] and films.count == 3


def test_more_films_than_a_page_are_listed_while_others_are_noted() -> None:
    with ledger() as films:
        for number in range(2500):
            films.add(str(number), str(number))
        seen = []
        for source in films.waiting():
            films.done(f"hidden {source}")
            seen.append(source)
        assert seen == [str(number) for number in range(2500)]


def test_contents_that_have_a_result_are_found_with_their_shard() -> None:
    names = [hashlib.sha256(bytes([number])).hexdigest() for number in range(200)]
    with ledger() as films:
        assert not holds(films.digests(), names[0])
        for number, digest in enumerate(names[:100]):
            films.found_in(number // 40, digest)
        digests = films.digests()
        assert [holds(digests, digest) for digest in names] == [True] * 100 + [False] * 100
        assert [films.shard_of(names[number]) for number in (0, 99)] == [0, 2]
