"""Split films into folds, or training and validation sets, without leakage.

    clusters = twins(dataset.cases, films)
    folds = split_folds(dataset.cases, clusters, k=5, seed=0)
    train, validation = hold_out(dataset.cases, clusters, fraction=0.2, seed=0)

Films of one group, and twins, are never on both sides of a split.
"""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from boneseg._util.text import counted
from boneseg.dataset.open import Case
from boneseg.errors import DatasetError, UsageError

_GRID = 128
_COARSE, _TWINS, _SHIFT = 0.9, 0.88, 3
_BLOCK = 128  # signatures compared at once


def thumbnail(film: NDArray[np.float32]) -> NDArray[np.float32]:
    """The mean brightness of a film (H x W) on a 128 x 128 grid, as compared by `twins`."""
    image = Image.fromarray(np.ascontiguousarray(film, np.float32))
    return np.asarray(image.resize((_GRID, _GRID), Image.Resampling.BOX))


def twins(cases: Sequence[Case], films: Iterable[NDArray[np.float32]]) -> list[int]:
    """The cluster of each case: films (float32, H x W, or thumbnails) that show the same image.

    Copies are found after JPEG compression at quality 50, changes of brightness, contrast or
    gamma, downsampling by 2, a shift of a pixel, and mirroring; not after cropping a border.
    Different films of one patient are not twins: use `groups.csv` for these.

    Band-passed thumbnails are compared by their maximum correlation over shifts of up to 3 cells.
    The band is clipped at its standard deviation, because rulers and stitching lines, the same on
    all films of a clinic, would dominate the anatomy. Of 442 leg, knee and spine films no two
    exceed 0.83; copies changed as above have 0.93 or more.
    """
    if not cases:
        return []
    small = np.stack([thumbnail(film) for film, _ in zip(films, cases, strict=True)])
    labels = np.arange(len(small))
    seen: dict[bytes, int] = {}
    for index, picture in enumerate(small):  # also finds copies of a film without any structure
        _join(labels, index, seen.setdefault(picture.tobytes(), index))
    fine, coarse = _signature(small)
    for mirror in (1, -1):
        other = coarse[:, :, ::mirror].reshape(len(small), -1)
        for row in range(len(small)):
            alike = row + 1 + np.flatnonzero(other[row + 1 :] @ coarse[row].ravel() > _COARSE)
            for some in np.array_split(alike, len(alike) // _BLOCK + 1):
                overlap = _overlap(fine[row], fine[some][:, :, ::mirror])
                for index in some[overlap > _TWINS].tolist():
                    _join(labels, row, index)
    return [int(label) for label in labels]


def _signature(small: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Two band-passed versions of the thumbnails, of unit norm: 128 x 128 and 32 x 32."""
    from scipy.ndimage import gaussian_filter

    cells = small.reshape(len(small), 32, _GRID // 32, 32, _GRID // 32).mean(axis=(2, 4))
    coarse = cells - gaussian_filter(cells, (0, 2, 2))
    band = gaussian_filter(small, (0, 1, 1)) - gaussian_filter(small, (0, 4, 4))
    spread = band.std(axis=(1, 2), keepdims=True)
    return _unit(np.clip(band, -spread, spread)), _unit(coarse)


def _unit(pictures: NDArray[np.float32]) -> NDArray[np.float32]:
    centred = pictures - pictures.mean(axis=(1, 2), keepdims=True)
    norm = np.sqrt((centred**2).sum(axis=(1, 2), keepdims=True))
    flat = norm < 1e-3  # no structure to compare: rounding must not make twins of blank films
    return np.where(flat, np.float32(0), centred / np.where(flat, 1, norm))


def _overlap(one: NDArray[np.float32], many: NDArray[np.float32]) -> NDArray[np.float32]:
    """The maximum correlation of one signature with each of the others over small shifts."""
    spectrum = np.fft.rfft2(one) * np.fft.rfft2(many).conj()
    shifted = np.roll(np.fft.irfft2(spectrum), (_SHIFT, _SHIFT), axis=(1, 2))
    return np.asarray(shifted[:, : 2 * _SHIFT + 1, : 2 * _SHIFT + 1].max(axis=(1, 2)))


def _join(labels: NDArray[np.int64], first: int, second: int) -> None:
    labels[labels == labels[second]] = labels[first]


def units(cases: Sequence[Case], clusters: Sequence[int]) -> list[list[int]]:
    """The indivisible units: indices joined by group or cluster, in order of name."""
    labels = np.arange(len(cases))
    first: dict[tuple[str, object], int] = {}
    for index, (case, cluster) in enumerate(zip(cases, clusters, strict=True)):
        _join(labels, index, first.setdefault(("cluster", cluster), index))
        if case.group is not None:
            _join(labels, index, first.setdefault(("group", case.group), index))
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
    return _deal(cases, joined, shares, [1 / k] * k, seed)


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
    train, validation = _deal(cases, joined, shares, [1 - held, held], seed)
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


def _deal(
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
    bare = [shares is not None and not any(shares[i] for i in unit) for unit in units]
    shuffled = np.random.default_rng(seed).permutation(len(units)).tolist()
    order = sorted(shuffled, key=lambda u: (bare[u], -len(units[u]), strata[u]))
    folds: list[list[int]] = [[] for _ in weights]
    kinds: list[Counter[tuple[str, int]]] = [Counter() for _ in weights]

    def cost(f: int, u: int) -> tuple[float, int]:
        return (len(folds[f]) + len(units[u])) / weights[f], kinds[f][strata[u]]

    for position, u in enumerate(order):
        empty = [f for f, fold in enumerate(folds) if not fold]  # or without bone, until bare ones
        left = (len(order) if bare[u] else bare.count(False)) - position
        last_chance = 0 < len(empty) >= left  # to fill the empty folds
        best = min(empty if last_chance else range(len(folds)), key=lambda f: cost(f, u))
        folds[best].extend(units[u])
        kinds[best][strata[u]] += len(units[u])
    return [sorted(fold) for fold in folds]
