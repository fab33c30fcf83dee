"""The films that score the models of a data folder, and are never trained on.

A fifth of the films is held out permanently, even if films or groups are added later. The models
before and after each retraining are scored on them.
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path

from boneseg.dataset.case import Case
from boneseg.dataset.splits import units
from boneseg.errors import DatasetError
from boneseg.server.retraining.records import HeldOut

SHARE = 0.2  # share of the groups that is held out


def hold_out(
    cases: Sequence[Case], clusters: Sequence[int], record: Path
) -> tuple[tuple[Case, ...], tuple[Case, ...]]:
    """(training, held out), consistent with earlier runs by `record`, which is updated.

    clusters: near-duplicates have the same number. Raises DatasetError where there are too few
    films, and ServerError for a damaged record.
    """
    earlier = (HeldOut.found(record) or HeldOut()).films
    training, held = split(cases, clusters, earlier)
    if len(training) < 2 or not held:
        raise DatasetError(
            f"too few of the {len(cases)} accepted films: {len(training)} to train on, "
            f"{len(held)} held out; accept more"
        )
    sides = {case.name: False for case in training} | {case.name: True for case in held}
    HeldOut(films=earlier | sides).write(record)
    return training, held


def split(
    cases: Sequence[Case], clusters: Sequence[int], earlier: Mapping[str, bool]
) -> tuple[tuple[Case, ...], tuple[Case, ...]]:
    """(training, held out): known films as earlier, by name, and a fifth of the new ones held out.

    Films of one group, by `groups.csv` or as duplicates, stay together; a group that was split in
    earlier runs is in neither. New groups are assigned in the order of their hash, which is
    independent of their content.
    """
    training: list[list[Case]] = []
    held: list[list[Case]] = []
    new = []
    for unit in ([cases[index] for index in joined] for joined in units(cases, clusters)):
        known = {earlier[case.name] for case in unit if case.name in earlier}
        if not known:
            new.append(unit)
        elif len(known) == 1:
            (held if known.pop() else training).append(unit)
    for unit in sorted(new, key=_hash):
        due = max(1, round(SHARE * (len(training) + len(held) + 1)))
        (held if len(held) < due else training).append(unit)
    return _by_name(training), _by_name(held)


def _by_name(groups: Sequence[Sequence[Case]]) -> tuple[Case, ...]:
    return tuple(sorted(itertools.chain.from_iterable(groups), key=lambda case: case.name))


def _hash(unit: Sequence[Case]) -> bytes:
    names = (case.name.encode(errors="surrogateescape") for case in unit)
    return min(hashlib.sha256(name).digest() for name in names)
