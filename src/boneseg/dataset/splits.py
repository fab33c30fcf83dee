"""Split films into folds, or training and validation sets, without leakage.

    clusters = near_duplicates([thumbnail(film) for film in films])
    folds = split_folds(dataset.cases, clusters, k=5, seed=0)
    train, validation = hold_out(dataset.cases, clusters, fraction=0.2, seed=0)

Films of one group, and near-duplicates, are never on both sides of a split.
"""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Collection, Sequence

import numpy as np

from boneseg._util.text import counted
from boneseg.dataset.case import Case
from boneseg.dataset.duplicates import join
from boneseg.errors import DatasetError, UsageError


def units(cases: Sequence[Case], clusters: Sequence[int]) -> list[list[int]]:
    """The indivisible units: indices joined by group or cluster, in order of name."""
    labels = np.arange(len(cases))
    first: dict[tuple[str, object], int] = {}
    for index, (case, cluster) in enumerate(zip(cases, clusters, strict=True)):
        join(labels, index, first.setdefault(("cluster", cluster), index))
        if case.group is not None:
            join(labels, index, first.setdefault(("group", case.group), index))
    found = defaultdict(list)
    for index in sorted(range(len(cases)), key=lambda i: cases[i].name):
        found[int(labels[index])].append(index)
    return list(found.values())


def split_folds(
    cases: Sequence[Case],
    clusters: Sequence[int],
    k: int,
    seed: int,
    shares: Sequence[float] | None = None,
) -> list[list[int]]:
    """k folds of indices into the cases; films of one group or cluster are in the same fold.

    Each case is in exactly one fold and no fold is empty. The sizes differ by at most one if all
    films are independent, and by little otherwise. Folds are stratified by body part and fraction
    of bone (`shares`, 0..1, one per case). The result depends only on names and seed, not on the
    order of the cases. Raises UsageError for k < 2, DatasetError if there are fewer independent
    films than folds.
    """
    if k < 2:
        raise UsageError(f"{counted(k, 'fold')} cannot be made; ask for 2 or more")
    joined = units(cases, clusters)
    if len(joined) < k:
        advice = "ask for fewer folds" if len(joined) > 1 else "add films of other patients"
        raise DatasetError(
            f"{counted(len(joined), 'independent film')} or groups cannot fill {k} folds; {advice}"
        )
    return _assign(cases, joined, shares, [1 / k] * k, seed)


def all_but(some: Collection[int], count: int) -> list[int]:
    """The indices below `count` that are not in `some`, in order."""
    left_out = set(some)
    return [index for index in range(count) if index not in left_out]


def hold_out(
    cases: Sequence[Case],
    clusters: Sequence[int],
    fraction: float,
    seed: int,
    shares: Sequence[float] | None = None,
) -> tuple[list[int], list[int]]:
    """(train, validation) indices with `fraction` of the cases in validation; see `split_folds`.

    Neither is empty. Raises UsageError for a fraction outside (0, 1), DatasetError if there is only
    one independent unit.
    """
    if not 0 < fraction < 1:
        raise UsageError(
            f"{fraction} of the films cannot be held out; give a fraction between 0 and 1"
        )
    joined = units(cases, clusters)
    if len(joined) < 2:
        raise DatasetError(
            f"{counted(len(cases), 'film')} in one group cannot be split into two; add films"
        )
    held = min(max(round(fraction * len(cases)), 1), len(cases) - 1) / len(cases)
    train, validation = _assign(cases, joined, shares, [1 - held, held], seed)
    return train, validation


def name_hash_split(names: Sequence[str], fraction: float = 0.2) -> tuple[list[str], list[str]]:
    """(kept, held out): a name is held out if its SHA-256 is in the lowest `fraction`.

    Each name is assigned independently, so adding or removing films moves no other.
    """
    if not 0 <= fraction <= 1:
        raise UsageError(f"{fraction} of the names cannot be held out; give a fraction from 0 to 1")
    sides: tuple[list[str], list[str]] = ([], [])
    for name in names:
        digest = hashlib.sha256(name.encode(errors="surrogateescape")).digest()
        sides[int.from_bytes(digest[:8], "big") < fraction * 2**64].append(name)
    return sides


def _strata(
    cases: Sequence[Case], units: Sequence[Sequence[int]], shares: Sequence[float] | None
) -> list[tuple[str, int]]:
    """The stratum of each unit: its most common body part, and its quartile of bone fraction."""
    parts = [Counter(cases[i].part or "" for i in unit).most_common(1)[0][0] for unit in units]
    means = [float(np.mean([shares[i] for i in unit])) if shares else 0.0 for unit in units]
    ranks = np.argsort(np.argsort(means, kind="stable"), kind="stable")
    quarters = (ranks * 4 // len(units)).tolist() if shares else [0] * len(units)
    return list(zip(parts, quarters, strict=True))


def _assign(
    cases: Sequence[Case],
    units: Sequence[Sequence[int]],
    shares: Sequence[float] | None,
    weights: Sequence[float],
    seed: int,
) -> list[list[int]]:
    """Assign units to the emptiest fold: large ones first, one stratum after the other.

    Each stratum is thus spread as evenly as the films; ties go to the fold with the fewest of it.
    Films without bone come last. No fold is empty, or without bone if there are enough films.
    """
    strata = _strata(cases, units, shares)
    boneless = [shares is not None and not any(shares[i] for i in unit) for unit in units]
    shuffled = np.random.default_rng(seed).permutation(len(units)).tolist()
    order = sorted(shuffled, key=lambda u: (boneless[u], -len(units[u]), strata[u]))
    folds: list[list[int]] = [[] for _ in weights]
    kinds: list[Counter[tuple[str, int]]] = [Counter() for _ in weights]

    def cost(f: int, u: int) -> tuple[float, int]:
        return (len(folds[f]) + len(units[u])) / weights[f], kinds[f][strata[u]]

    for position, u in enumerate(order):
        empty = [
            f for f, fold in enumerate(folds) if not fold
        ]  # or without bone, before boneless units
        left = (len(order) if boneless[u] else boneless.count(False)) - position
        last_chance = 0 < len(empty) >= left  # to fill the empty folds
        best = min(empty if last_chance else range(len(folds)), key=lambda f: cost(f, u))
        folds[best].extend(units[u])
        kinds[best][strata[u]] += len(units[u])
    return [sorted(fold) for fold in folds]
