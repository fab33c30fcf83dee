"""What is found on a film, written in the formats that others read: one module a format.

    for name in ("mask", "nrrd"):
        FORMATS[name].write(Path("out/knee" + FORMATS[name].suffix), segmentation)

A format has either a file for each film (its module: `write(path, segmentation)`) or one document
for all films of a call (`entry(segmentation)`, and `write_document(path, entries)` at the end).
Modules are imported when their format is asked for. What each keeps and costs: docs/formats.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from boneseg._util.text import printable
from boneseg.errors import OutputError
from boneseg.masks.segmentation import Segmentation

BONE = "bone"  # the label of all that is found


@dataclass(frozen=True)
class Format:
    """The module of a format, and the ending of its file for a film or the name of its document."""

    module: str
    suffix: str = ""
    document: str = ""
    drawn: bool = True  # whether a mask alone will do, without a model's probability

    def write(self, path: Path, segmentation: Segmentation) -> None:
        """Write one film. Raises BonesegError where the film cannot be written so."""
        self._module.write(path, segmentation)

    def entry(self, segmentation: Segmentation) -> Any:
        """What a document says of one film."""
        return self._module.entry(segmentation)

    def read_document(self, path: Path) -> dict[str, Any]:
        """What `entry` gave for each film of a document, by title; none without a document.

        Titles are spelt as `printable` does. Raises OutputError for a document of another kind.
        """
        if not path.exists():
            return {}
        try:
            found = self._module.read_document(path).items()
            return {printable(title): entry for title, entry in found}
        except Exception:  # any document, or none: nothing in it can be relied on
            raise OutputError(
                f"{path}: is not a document that boneseg wrote, and is kept; move it away, or "
                "choose another folder for --out"
            ) from None

    def write_document(self, path: Path, entries: Sequence[Any]) -> None:
        """Write a document of what `entry` gave, in order. Raises OutputError."""
        self._module.write_document(path, entries)

    @property
    def _module(self) -> Any:
        return import_module(f"boneseg.masks.formats.{self.module}")


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
