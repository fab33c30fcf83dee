"""A fifth of the films is held out of every retraining, and stays so."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from boneseg.dataset.case import Case
from boneseg.dataset.splits import units
from boneseg.errors import DatasetError
from boneseg.server.retraining.held_out import hold_out, split

NAMES = [f"film-{number}" for number in range(20)]
EVERY = [*NAMES, *(f"copy of {name}" for name in NAMES)]


def cases_of(names: list[str], groups: list[int | None]) -> list[Case]:
    known = [None if group is None else f"patient {group}" for group in groups]
    return [
        Case(name, Path(name), Path(name), group) for name, group in zip(names, known, strict=True)
    ]


@given(st.data())
@settings(max_examples=100)
def test_held_out_films_stay_held_out(data: st.DataObject) -> None:
    """However films, copies and groups change from one retraining to the next."""
    sides: dict[str, bool] = {}
    for _ in range(data.draw(st.integers(2, 4))):
        names = data.draw(st.lists(st.sampled_from(NAMES), unique=True, min_size=1))
        size = {"min_size": len(names), "max_size": len(names)}
        groups = data.draw(st.lists(st.none() | st.integers(0, 9), **size))
        clusters = data.draw(st.lists(st.integers(0, 30), **size))
        cases = cases_of(names, groups)
        drawn = data.draw(st.sets(st.sampled_from(NAMES)))
        kept, held = split(cases, clusters, sides, drawn)
        now = {case.name: False for case in kept} | {case.name: True for case in held}
        assert len(now) == len(kept) + len(held)
        for name in now.keys() & sides.keys():
            assert now[name] == sides[name]
        for unit in units(cases, clusters):
            together = {now.get(cases[index].name) for index in unit}
            assert len(together) == 1  # all on one side, or in neither
            before = {sides.get(cases[index].name) for index in unit} - {None}
            assert (together == {None}) == (len(before) == 2)
            can_score = not drawn.isdisjoint(cases[index].name for index in unit)
            assert can_score or before or together == {False}  # the model's own answers train
        sides |= now


@pytest.mark.parametrize(("films", "each"), [(1, 1), (4, 1), (20, 1), (20, 2), (20, 5)])
def test_a_fifth_of_old_and_new_films_is_held_out(films: int, each: int) -> None:
    cases = cases_of(NAMES[:films], [number // each for number in range(films)])
    clusters, sides = list(range(films)), {}
    for count in range(each, films + 1, each):
        kept, held = split(cases[:count], clusters[:count], sides, NAMES)
        assert len(held) == each * max(1, round(0.2 * count / each))
        sides = {case.name: False for case in kept} | {case.name: True for case in held}


def test_groups_given_later_do_not_change_the_split(tmp_path: Path) -> None:
    record, clusters = tmp_path / "held-back.json", list(range(20))
    kept, held = hold_out(cases_of(NAMES, [None] * 20), clusters, record, EVERY)
    later, still = hold_out(cases_of(NAMES, list(range(20))), clusters, record, EVERY)
    assert [case.name for case in later] == [case.name for case in kept]
    assert [case.name for case in still] == [case.name for case in held]


def test_a_duplicate_is_on_the_side_of_its_film(tmp_path: Path) -> None:
    record, clusters = tmp_path / "held-back.json", list(range(20))
    kept, held = hold_out(cases_of(NAMES, [None] * 20), clusters, record, EVERY)
    copies = [f"copy of {name}" for name in NAMES]
    both = hold_out(cases_of(NAMES + copies, [None] * 40), clusters * 2, record, EVERY)
    for before, after in zip((kept, held), both, strict=True):
        names = {case.name for case in before}
        assert {case.name for case in after} == names | {f"copy of {name}" for name in names}


def test_too_few_films_are_reported_and_not_recorded(tmp_path: Path) -> None:
    record = tmp_path / "held-back.json"
    with pytest.raises(DatasetError, match="too few of the 4 accepted films: 0 to train on"):
        hold_out(cases_of(NAMES[:4], [1] * 4), list(range(4)), record, EVERY)
    assert not record.exists()
