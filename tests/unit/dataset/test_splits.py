"""No split separates films of a patient or near-duplicates; folds are balanced and repeatable."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from boneseg.dataset.case import Case
from boneseg.dataset.splits import hold_out, name_hash_split, split_folds
from boneseg.errors import DatasetError, UsageError
from tests.support.datasets import case

groups = st.lists(st.one_of(st.none(), st.sampled_from("PQRSTUVW")), min_size=2, max_size=40)


def made_up(groups: list[str | None]) -> list[Case]:
    return [case(f"film{i}", group, "knee" if i % 3 else "hip") for i, group in enumerate(groups)]


@settings(max_examples=80)
@given(groups=groups, k=st.integers(2, 6), seed=st.integers(0, 99), data=st.data())
def test_folds_hold_each_case_once_and_divide_no_group_or_cluster(
    groups: list[str | None], k: int, seed: int, data: st.DataObject
) -> None:
    cases = made_up(groups)
    clusters = data.draw(st.lists(st.integers(0, 60), min_size=len(cases), max_size=len(cases)))
    shares = [0.1 + 0.01 * (i % 7) for i in range(len(cases))]
    try:
        folds = split_folds(cases, clusters, k, seed, shares)
    except DatasetError as error:
        assert str(error).endswith(("ask for fewer folds", "add films of other patients"))
        assert len({g or i for i, g in enumerate(groups)}) < k or len(set(clusters)) < len(cases)
        return
    assert len(folds) == k
    assert all(folds)
    assert sorted(index for fold in folds for index in fold) == list(range(len(cases)))
    for belongs in ([one.group for one in cases], clusters):
        homes: dict[object, set[int]] = {}
        for number, fold in enumerate(folds):
            for index in fold:
                if belongs[index] is not None:
                    homes.setdefault(belongs[index], set()).add(number)
        assert all(len(home) == 1 for home in homes.values())


@settings(max_examples=50)
@given(n=st.integers(2, 90), k=st.integers(2, 10), seed=st.integers(0, 99))
def test_folds_of_single_films_differ_by_one_at_most(n: int, k: int, seed: int) -> None:
    cases = made_up([None] * n)
    if n < k:
        with pytest.raises(DatasetError, match="cannot fill"):
            split_folds(cases, range(n), k, seed)
        return
    shares = np.random.default_rng(seed).random(n).tolist()
    sizes = [len(fold) for fold in split_folds(cases, range(n), k, seed, shares)]
    assert max(sizes) - min(sizes) <= 1


@settings(max_examples=40)
@given(groups=groups, seed=st.integers(0, 99), data=st.data())
def test_the_order_of_listing_changes_nothing(
    groups: list[str | None], seed: int, data: st.DataObject
) -> None:
    cases = made_up([*groups, None, None, None])
    clusters = list(range(len(cases)))
    shares = [(i * 37 % 11) / 11 for i in range(len(cases))]
    order = data.draw(st.permutations(range(len(cases))))
    again = [cases[i] for i in order]

    def names(cases: list[Case], folds: list[list[int]]) -> list[set[str]]:
        return [{cases[i].name for i in fold} for fold in folds]

    first = split_folds(cases, clusters, 3, seed, shares)
    second = split_folds(again, clusters, 3, seed, [shares[i] for i in order])
    assert names(cases, first) == names(again, second)
    held = hold_out(cases, clusters, 0.3, seed, shares)
    held_again = hold_out(again, clusters, 0.3, seed, [shares[i] for i in order])
    assert names(cases, list(held)) == names(again, list(held_again))


def test_another_seed_gives_other_folds() -> None:
    cases = made_up([None] * 30)
    assert split_folds(cases, range(30), 5, 0) != split_folds(cases, range(30), 5, 1)
    assert split_folds(cases, range(30), 5, 0) == split_folds(cases, range(30), 5, 0)


def test_body_parts_and_shares_of_bone_are_spread_evenly() -> None:
    cases = [case(f"{i:03}", part="knee" if i < 20 else "spine") for i in range(100)]
    shares = [i % 20 / 20 for i in range(100)]
    for fold in split_folds(cases, range(100), 5, 3, shares):
        assert len(fold) == 20
        assert 3 <= sum(cases[i].part == "knee" for i in fold) <= 5
        assert abs(np.mean([shares[i] for i in fold]) - np.mean(shares)) < 0.06
    _, validation = hold_out(cases, range(100), 0.2, 3, shares)
    assert 3 <= sum(cases[i].part == "knee" for i in validation) <= 5


@settings(max_examples=50)
@given(k=st.integers(2, 6), more=st.integers(0, 40), seed=st.integers(0, 99), data=st.data())
def test_no_fold_is_without_bone_while_there_is_enough_of_it(
    k: int, more: int, seed: int, data: st.DataObject
) -> None:
    cases = made_up([None] * (k + more))
    shares = data.draw(st.permutations([0.1 + 0.1 * i for i in range(k)] + [0.0] * more))
    folds = split_folds(cases, range(len(cases)), k, seed, shares)
    assert all(any(shares[i] for i in fold) for fold in folds)


@settings(max_examples=50)
@given(bony=st.integers(2, 8), more=st.integers(0, 40), held=st.floats(0.05, 0.5))
def test_held_out_films_hold_bone_where_two_have_some(bony: int, more: int, held: float) -> None:
    shares = [0.2] * bony + [0.0] * more
    sides = hold_out(made_up([None] * len(shares)), range(len(shares)), held, 0, shares)
    assert all(any(shares[i] for i in side) for side in sides)


def test_large_groups_leave_the_folds_balanced() -> None:
    groups = [name for name in "ABCDEFGH" for _ in range(4)] + [None] * 18
    sizes = [len(fold) for fold in split_folds(made_up(groups), range(50), 5, 0)]
    assert sizes == [10] * 5


@settings(max_examples=60)
@given(groups=groups, fraction=st.floats(0.01, 0.99), seed=st.integers(0, 99))
def test_held_out_films_are_about_the_fraction_and_share_no_patient(
    groups: list[str | None], fraction: float, seed: int
) -> None:
    cases = made_up(groups)
    if len({group or i for i, group in enumerate(groups)}) < 2:
        with pytest.raises(DatasetError):
            hold_out(cases, range(len(cases)), fraction, seed)
        return
    train, validation = hold_out(cases, range(len(cases)), fraction, seed)
    assert train
    assert validation
    assert sorted(train + validation) == list(range(len(cases)))
    sides = [{cases[i].group for i in side} - {None} for side in (train, validation)]
    assert not sides[0] & sides[1]
    if not any(groups):
        assert abs(len(validation) - fraction * len(cases)) <= 1


@pytest.mark.parametrize("fraction", [0.1, 0.9])
def test_of_two_large_patients_one_is_held_out(fraction: float) -> None:
    train, validation = hold_out(made_up(["P"] * 5 + ["Q"] * 5), range(10), fraction, 0)
    assert len(train) == len(validation) == 5


@settings(max_examples=40)
@given(names=st.lists(st.text(max_size=12), unique=True), data=st.data())
def test_a_name_keeps_its_side_of_the_split_if_others_are_added(
    names: list[str], data: st.DataObject
) -> None:
    kept, held = name_hash_split(names)
    assert sorted(kept + held) == sorted(names)
    some = data.draw(st.permutations(names))[: len(names) // 2]
    kept_of_some, held_of_some = name_hash_split(some)
    assert set(kept_of_some) <= set(kept)
    assert set(held_of_some) <= set(held)


def test_about_the_fraction_of_names_is_held_out_and_stays_so() -> None:
    names = [f"{i:04}" for i in range(2000)]
    assert 340 < len(name_hash_split(names)[1]) < 460
    assert name_hash_split(names, 0)[1] == name_hash_split(names, 1)[0] == []
    assert name_hash_split(names[:12])[1] == ["0004", "0005", "0008", "0010"]


def test_settings_out_of_range_are_refused() -> None:
    cases = made_up([None] * 4)
    with pytest.raises(UsageError):
        split_folds(cases, range(4), 1, 0)
    for fraction in (0.0, 1.0, -0.1):
        with pytest.raises(UsageError):
            hold_out(cases, range(4), fraction, 0)
    with pytest.raises(UsageError):
        name_hash_split(["a"], 1.5)
