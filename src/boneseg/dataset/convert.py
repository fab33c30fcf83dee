"""Convert the masks of a dataset to other formats.

    convert_dataset(open_dataset(Path("knees")), Path("out"), ["labelme"])

All labels are merged into one, bone; output is on the film's own grid.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import numpy as np

from boneseg._util.files import make_folder, same_place
from boneseg._util.lock import exclusive
from boneseg.dataset.case import Case
from boneseg.dataset.open import Dataset
from boneseg.errors import BonesegError, DatasetError, OutputError, UsageError, unexpected
from boneseg.masks.formats import FORMATS
from boneseg.masks.output import OutputFolder, write_outputs
from boneseg.masks.polygons import TOLERANCE
from boneseg.masks.segmentation import OVERLAY_SIDE, Segmentation
from boneseg.radiograph.privacy import public_path
from boneseg.radiograph.provenance import ReportEntry
from boneseg.radiograph.read import read_radiograph

REPORT = "convert.json"


@dataclass(frozen=True)
class Converted:
    """The result of one case: its files, or its error."""

    name: str  # of the film
    outputs: dict[str, str]  # file of each format, in the output folder
    skipped: dict[str, str] = field(default_factory=dict)  # unavailable formats, with the reason
    error: str | None = None  # why it failed


@exclusive
def convert_dataset(
    dataset: Dataset,
    out: Path,
    formats: Sequence[str],
    *,
    tolerance: float = TOLERANCE,
    overlay_side: int | None = OVERLAY_SIDE,
    keep_names: bool = False,
    report: Callable[[float, str], None] | None = None,
) -> list[Converted]:
    """Write every mask of a dataset into `out`, in formats of `masks.formats.FORMATS`.

    Results are added to `convert.json` there, and to the documents that cover all films; entries
    of earlier runs are kept: see `masks/output.py`.

    tolerance: px that polygons may deviate from the edge of the mask. overlay_side: longest side of
    an overlay, px; None: the film's size. A case that cannot be read
    or written has an error in its result, and the others are converted; each file that the dataset
    omitted because of an error is a result named after the file. Raises UsageError for a format
    that needs more than a mask or for an output folder of the dataset, DatasetError without cases,
    and OutputError.
    """
    _check(dataset, out, formats, tolerance)
    make_folder(out)
    folder = OutputFolder(out, REPORT, formats)
    results = [Converted(fault.split(": ")[0], {}, error=fault) for fault in dataset.faults]
    names = [public_path(case.image, keep_names=keep_names) for case in dataset.cases]
    targets = folder.targets([case.image for case in dataset.cases], names)
    try:
        for case, name, target in zip(dataset.cases, names, targets, strict=True):
            entries: dict[str, object] = {}
            try:
                folder.check(target)
                drawn = replace(
                    _drawn(case, name, target.title, tolerance), overlay_side=overlay_side
                )
                outputs, entries, skipped = write_outputs(drawn, out / target.stem, formats)
                result = Converted(str(name), outputs, skipped)
            except OutputError:
                raise
            except BonesegError as error:
                result = Converted(str(name), {}, error=str(error))
            except Exception as error:  # from a library
                result = Converted(str(name), {}, error=unexpected(name, error))
            folder.add(target, ReportEntry(result.outputs, asdict(result)), entries)
            results.append(result)
            if report:
                done = len(results) - len(dataset.faults)
                report(done / len(dataset.cases), str(name))
    except BaseException:  # Ctrl-C, or a full disk
        with suppress(OutputError):  # the first error is the one to report
            folder.close()
        raise
    folder.close()
    return results


def _drawn(case: Case, name: Path, title: str, tolerance: float) -> Segmentation:
    film = read_radiograph(case.image)
    mask = case.read_mask(film.shape)
    return Segmentation(film, mask, None, None, name, tolerance, title)


def _check(dataset: Dataset, out: Path, formats: Sequence[str], tolerance: float) -> None:
    for kind in formats:
        if not FORMATS[kind].drawn:
            raise UsageError(f"--to {kind}: needs a model's probability; use segment")
    if not 0 <= tolerance < np.inf:
        raise UsageError(f"--tolerance {tolerance:g}: give 0 or more, in px")
    if not dataset.cases:
        raise DatasetError(
            f"{dataset.root}: no mask matches a film by name; give both the same name"
        )
    places = {place for case in dataset.cases for place in (case.image.parent, case.mask.parent)}
    if any(same_place(out, place) for place in places):
        raise UsageError(f"{out}: is a folder of the dataset; choose another folder for --out")
