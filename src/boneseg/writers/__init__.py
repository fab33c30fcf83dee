"""What is found on a film, written in the formats that others read: one module a format.

    for name in ("mask", "nrrd"):
        FORMATS[name].write(Path("out/knee" + FORMATS[name].suffix), reading)

A format has either a file for each film (its module: `write(path, reading)`) or one document for
all films of a call (`entry(reading)`, and `write_document(path, entries)` at the end). Modules are
imported when their format is asked for. What each keeps and costs: docs/formats.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from boneseg.polygons import TOLERANCE
from boneseg.radiograph import Radiograph

if TYPE_CHECKING:
    from boneseg.bundle import Card
    from boneseg.engine import Finding

BONE = "bone"  # the label of all that is found


@dataclass(frozen=True, eq=False)
class Reading:
    """A film and what was found on it, as writers take it.

    card: of the model that found it; None for a mask that a person drew.
    name: what outputs call the film, which is not always its path: see `patients.py`.
    tolerance: px that outlines of polygons may stray from the edge of the mask.
    alone: whether no other film of the call has a file of the same name.
    """

    film: Radiograph
    finding: Finding
    card: Card | None
    name: Path
    tolerance: float = TOLERANCE
    alone: bool = True

    @property
    def title(self) -> str:
        """What a document of many films calls it: by its path where its name would not do."""
        return self.name.name if self.alone else self.name.as_posix()


@dataclass(frozen=True)
class Format:
    """The module of a format, and the ending of its file for a film or the name of its document."""

    module: str
    suffix: str = ""
    document: str = ""
    drawn: bool = True  # whether a mask alone will do, without a model's probability

    def write(self, path: Path, reading: Reading) -> None:
        """Write one film. Raises BonesegError where the film cannot be written so."""
        self._module.write(path, reading)

    def entry(self, reading: Reading) -> Any:
        """What a document says of one film."""
        return self._module.entry(reading)

    def write_document(self, path: Path, entries: Sequence[Any]) -> None:
        """Write a document of what `entry` gave, in order. Raises OutputError."""
        self._module.write_document(path, entries)

    @property
    def _module(self) -> Any:
        return import_module(f"boneseg.writers.{self.module}")


FORMATS = {
    "mask": Format("mask", "_mask.png"),
    "overlay": Format("overlay", "_overlay.png"),
    "probability": Format("probability", "_probability.png", drawn=False),
    "nrrd": Format("nrrd", ".seg.nrrd"),
    "nifti": Format("nifti", "_mask.nii.gz"),
    "dicom-seg": Format("dicom_seg", ".seg.dcm"),
    "dicom-seg-fractional": Format("dicom_seg_fractional", "_probability.seg.dcm", drawn=False),
    "labelme": Format("labelme", ".json"),
    "yolo": Format("yolo", ".txt"),
    "coco": Format("coco", document="coco.json"),
    "coco-polygons": Format("coco_polygons", document="coco_polygons.json"),
    "cvat": Format("cvat", document="annotations.xml"),
    "label-studio": Format("label_studio", document="label_studio.json"),
    "measurements": Format("measurements", document="measurements.csv"),
}
