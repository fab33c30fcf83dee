from __future__ import annotations

import pytest

pytest.importorskip("ray", reason="needs ray: pip install 'boneseg[cluster]'")

from boneseg.cluster.ledger import ledger


def test_each_film_waits_once_in_order_and_none_that_is_done() -> None:
    with ledger() as films:
        assert films.done("b")
        assert [films.add(name, f"films/{name}") for name in "dbadc"] == [
            True, False, True, False, True]  # fmt: skip
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
