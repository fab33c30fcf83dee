"""The films that score the models of a data folder, and are never trained on.

A fifth of the films that a person drew or corrected is held out permanently, even if films or
groups are added later. The models before and after each retraining are scored on them. A mask that
was accepted as a model suggested it is that model's own answer: it is trained on, and never scores.
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from boneseg.dataset.case import Case
from boneseg.dataset.splits import units
from boneseg.errors import DatasetError
from boneseg.server.retraining.records import HeldOut

SHARE = 0.2  # share of the groups that is held out


def hold_out(
    cases: Sequence[Case], clusters: Sequence[int], record: Path, drawn: Collection[str]
) -> tuple[tuple[Case, ...], tuple[Case, ...]]:
    """(training, held out), consistent with earlier runs by `record`, which is updated.

    clusters: near-duplicates have the same number. drawn: the names of the films whose masks are
    not a model's own answer. Raises DatasetError where there are too few films, and ServerError for
    a damaged record.
    """
    earlier = (HeldOut.found(record) or HeldOut()).films
    training, held = split(cases, clusters, earlier, drawn)
    if len(training) < 2:
        raise DatasetError(
            f"too few of the {len(cases)} accepted films: {len(training)} to train on, "
            f"{len(held)} held out; accept more"
        )
    sides = {case.name: False for case in training} | {case.name: True for case in held}
    HeldOut(films=earlier | sides).write(record)
    return training, held


def split(
    cases: Sequence[Case],
    clusters: Sequence[int],
    earlier: Mapping[str, bool],
    drawn: Collection[str],
) -> tuple[tuple[Case, ...], tuple[Case, ...]]:
    """(training, held out): known films as earlier, by name, and a fifth of the new ones held out.

    Films of one group, by `groups.csv` or as duplicates, stay together; a group that was split in
    earlier runs is in neither. Of new groups, those with a `drawn` film can be held out; they are
    assigned in the order of their hash, which is independent of their content.
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
    can_score = [unit for unit in new if _is_drawn(unit, drawn)]
    scoring = sum(_is_drawn(unit, drawn) for unit in (*training, *held))
    training += [unit for unit in new if not _is_drawn(unit, drawn)]
    for number, unit in enumerate(sorted(can_score, key=_hash), scoring + 1):
        due = max(1, round(SHARE * number))
        (held if len(held) < due else training).append(unit)
    return _by_name(training), _by_name(held)


def _is_drawn(unit: Sequence[Case], drawn: Collection[str]) -> bool:
    return any(case.name in drawn for case in unit)


def _by_name(groups: Sequence[Sequence[Case]]) -> tuple[Case, ...]:
    return tuple(sorted(itertools.chain.from_iterable(groups), key=lambda case: case.name))


def _hash(unit: Sequence[Case]) -> bytes:
    names = (case.name.encode(errors="surrogateescape") for case in unit)
    return min(hashlib.sha256(name).digest() for name in names)
