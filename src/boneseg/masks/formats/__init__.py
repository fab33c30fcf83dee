"""The formats of masks: one module per format, with its writer and reader.

    for name in ("mask", "nrrd"):
        FILM_FORMATS[name].write(Path("out/knee" + FILM_FORMATS[name].suffix), segmentation)

A format that is written has either a file for each film or one document for all films of a call.
Modules import the library of their format when called, so importing this registry is fast.
Details of each format: docs/reference/formats.md.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Generic, TypeVar

from boneseg._util.text import printable
from boneseg.errors import OutputError
from boneseg.masks.formats import (
    coco,
    cvat,
    dicom_seg,
    fragments,
    label_studio,
    labelme,
    measurements,
    nifti,
    nrrd,
    overlay,
    png,
    yolo,
)
from boneseg.masks.segmentation import Segmentation
from boneseg.masks.types import Drawing

_Entry = TypeVar("_Entry")


@dataclass(frozen=True)
class FilmFormat:
    """A format with a file for each film.

    label: shown where a user chooses a format. suffix: of the file. write: raises BonesegError if
    the film cannot be written in this format. drawn: whether a mask is enough, without the
    probability of a model. of_dicom: whether only a DICOM film has it. library: the one that writes
    it, if not every installation has that.
    """

    label: str
    suffix: str
    write: Callable[[Path, Segmentation], None]
    drawn: bool = True
    of_dicom: bool = False
    library: str | None = None
    document: ClassVar[str] = ""


@dataclass(frozen=True)
class DocumentFormat(Generic[_Entry]):
    """A format with one document for all films.

    label: shown where a user chooses a format. document: name of the file. entry: makes the
    document's entry for one film. write_document: writes entries in their order; raises
    OutputError. parse: the entries of a document by the titles of their films; may raise any error
    for another document.
    """

    label: str
    document: str
    entry: Callable[[Segmentation], _Entry]
    write_document: Callable[[Path, Sequence[_Entry]], None]
    parse: Callable[[Path], Mapping[str, _Entry]]
    suffix: ClassVar[str] = ""
    drawn: ClassVar[bool] = True
    of_dicom: ClassVar[bool] = False
    library: ClassVar[str | None] = None

    def read_document(self, path: Path) -> dict[str, _Entry]:
        """The entries of a document by film title; empty if there is no document.

        Titles are spelt as `printable` does. Raises OutputError for a document of another kind.
        """
        if not path.exists():
            return {}
        try:
            return {printable(title): entry for title, entry in self.parse(path).items()}
        except Exception:  # the file can contain anything
            raise OutputError(
                f"{path}: was not written by boneseg, so it is not replaced; move it, or "
                "choose another folder for --out"
            ) from None


@dataclass(frozen=True)
class Reader:
    """Reads a format recognised by its suffix.

    name: of the format, in messages. drawings: the films of the file; may raise any error for a
    damaged one.
    """

    name: str
    drawings: Callable[[Path], list[Drawing]]


@dataclass(frozen=True)
class JsonReader:
    """Reads a JSON format recognised by its content.

    name: of the format, in messages. claims: whether a document is in this format. drawings: the
    films of the document; may raise any error for a damaged one.
    """

    name: str
    claims: Callable[[object], bool]
    drawings: Callable[[object], list[Drawing]]


FILM_FORMATS = {
    "mask": FilmFormat("mask, PNG", "_mask.png", png.write),
    "overlay": FilmFormat("overlay, PNG", "_overlay.png", overlay.write),
    "probability": FilmFormat(
        "probability, PNG", "_probability.png", png.write_scores, drawn=False
    ),
    "nrrd": FilmFormat("3D Slicer, .seg.nrrd", ".seg.nrrd", nrrd.write),
    "nifti": FilmFormat("NIfTI", "_mask.nii.gz", nifti.write),
    "dicom-seg": FilmFormat(
        "DICOM Segmentation",
        ".seg.dcm",
        dicom_seg.write_mask,
        of_dicom=True,
        library=dicom_seg.LIBRARY,
    ),
    "dicom-seg-fractional": FilmFormat(
        "DICOM Segmentation, probability",
        "_probability.seg.dcm",
        dicom_seg.write_probability,
        drawn=False,
        of_dicom=True,
        library=dicom_seg.LIBRARY,
    ),
    "labelme": FilmFormat("LabelMe", ".json", labelme.write),
    "yolo": FilmFormat("YOLO", ".txt", yolo.write),
}
BONES = "bones"  # the masks of bones by name, which a call asks for in another way
NAMED_FORMAT = FilmFormat("mask of each bone, PNG", "_bones", png.write_bones, drawn=False)
DOCUMENT_FORMATS: dict[str, DocumentFormat[Any]] = {
    "coco": DocumentFormat(
        "COCO, run lengths", "coco.json", coco.entry, coco.write_document, coco.read_document
    ),
    "coco-polygons": DocumentFormat(
        "COCO, polygons",
        "coco_polygons.json",
        coco.polygon_entry,
        coco.write_document,
        coco.read_document,
    ),
    "cvat": DocumentFormat(
        "CVAT", "annotations.xml", cvat.entry, cvat.write_document, cvat.read_document
    ),
    "label-studio": DocumentFormat(
        "Label Studio",
        "label_studio.json",
        label_studio.entry,
        label_studio.write_document,
        label_studio.read_document,
    ),
    "measurements": DocumentFormat(
        "measurements, CSV",
        "measurements.csv",
        measurements.entry,
        measurements.write_document,
        measurements.read_document,
    ),
    "fragments": DocumentFormat(
        "fragments, CSV",
        "fragments.csv",
        fragments.entry,
        fragments.write_document,
        fragments.read_document,
    ),
}
FORMATS: dict[str, FilmFormat | DocumentFormat[Any]] = {**FILM_FORMATS, **DOCUMENT_FORMATS}

_NRRD, _NIFTI = Reader("NRRD", nrrd.drawings), Reader("NIfTI", nifti.drawings)
READERS = {
    ".xml": Reader("CVAT", cvat.drawings),
    ".txt": Reader("YOLO", yolo.drawings),
    ".seg.nrrd": _NRRD,
    ".nrrd": _NRRD,
    ".nii.gz": _NIFTI,
    ".nii": _NIFTI,
}
JSON_SUFFIX = ".json"  # of the formats that are recognised by their content
JSON_READERS = (
    JsonReader("LabelMe JSON", labelme.claims, labelme.drawings),
    JsonReader("COCO JSON", coco.claims, coco.drawings),
    JsonReader("Label Studio JSON", label_studio.claims, label_studio.drawings),
)
FOLDER_READER = Reader("a folder of masks", png.drawings)  # of `NAMED_FORMAT`
DICOM_READER = Reader("DICOM SEG", dicom_seg.drawings)
