"""The masks of a dataset in other formats: `segment` without a model.

    convert_dataset(open_dataset(Path("knees")), Path("out"), ["labelme"])

Several labels become one, bone; what is written lies on the film's own grid.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from boneseg.dataset import Case, Dataset
from boneseg.engine import Finding
from boneseg.errors import BonesegError, DatasetError, OutputError, UsageError
from boneseg.files import make_folder, same_place
from boneseg.patients import public_path
from boneseg.polygons import TOLERANCE
from boneseg.radiograph import read_radiograph
from boneseg.segment import documents, unique_stems, write_reading
from boneseg.writers import FORMATS, Reading


@dataclass(frozen=True)
class Converted:
    """What became of one case: its files, or its error."""

    name: str
    outputs: dict[str, str]
    error: str | None = None


def convert_dataset(
    dataset: Dataset,
    out: Path,
    formats: Sequence[str],
    *,
    tolerance: float = TOLERANCE,
    keep_names: bool = False,
    report: Callable[[float, str], None] | None = None,
) -> list[Converted]:
    """Write every mask of a dataset into `out`, in formats of `writers.FORMATS`.

    tolerance: px that polygons may stray from the edge of the mask. A case that cannot be read or
    written has an error in its result, and the others are converted; what the dataset left out for
    an error is a result of its own, called by its file. Raises UsageError for a format that
    a mask alone cannot fill or a folder that holds the dataset, DatasetError without cases, and
    OutputError.
    """
    _check(dataset, out, formats, tolerance)
    make_folder(out)
    results = [Converted(fault.split(": ")[0], {}, fault) for fault in dataset.faults]
    entries: dict[str, list[Any]] = {kind: [] for kind in documents(formats)}
    names = [public_path(case.image, keep_names=keep_names) for case in dataset.cases]
    stems = unique_stems(names, formats)
    for case, name, stem in zip(dataset.cases, names, stems, strict=True):
        try:
            reading = _reading(case, name, tolerance)
            outputs, said = write_reading(reading, out / stem, formats)
            results.append(Converted(str(name), outputs))
            for kind, entry in said.items():
                entries[kind].append(entry)
        except OutputError:
            raise
        except BonesegError as error:
            results.append(Converted(str(name), {}, str(error)))
        if report:
            done = len(results) - len(dataset.faults)
            report(done / len(dataset.cases), str(name))
    for kind, document in documents(formats).items():
        FORMATS[kind].write_document(out / document, entries[kind])
    return results


def _reading(case: Case, name: Path, tolerance: float) -> Reading:
    film = read_radiograph(case.image)
    mask = case.read_mask((film.pixels.shape[0], film.pixels.shape[1]))
    finding = Finding(mask.astype(np.float32), mask, None, film.pixels)
    return Reading(film, finding, None, name, tolerance)


def _check(dataset: Dataset, out: Path, formats: Sequence[str], tolerance: float) -> None:
    for kind in formats:
        if not FORMATS[kind].drawn:
            raise UsageError(f"--to {kind}: needs the probability that a model finds; see segment")
    if not 0 <= tolerance < np.inf:
        raise UsageError(f"--tolerance {tolerance:g}: give 0 or more, in px")
    if not dataset.cases:
        raise DatasetError(f"{dataset.root}: no mask has the name of a film; name them alike")
    places = {place for case in dataset.cases for place in (case.image.parent, case.mask.parent)}
    if any(same_place(out, place) for place in places):
        raise UsageError(f"{out}: is where the dataset lies; choose another folder for --out")
