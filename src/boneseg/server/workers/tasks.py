"""The tasks of a worker: segment a film, respond to the API, export masks, read a mask.

A task holds the path of a film or mask and its display name, and returns plain values; both are
pickled. Errors contain the display name, not the path of the upload.
"""

from __future__ import annotations

import io
import json
import secrets
import time
from abc import ABC, abstractmethod
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import ClassVar, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from boneseg._util.files import whole_file
from boneseg.errors import MaskError
from boneseg.inference.engine import Engine
from boneseg.inference.finding import Finding
from boneseg.masks.formats import DOCUMENT_FORMATS, FORMATS, DocumentFormat
from boneseg.masks.picture import read_picture
from boneseg.masks.read import read_mask
from boneseg.masks.segmentation import Segmentation
from boneseg.masks.verdict import Verdict
from boneseg.radiograph.description import describe
from boneseg.radiograph.film import Radiograph
from boneseg.radiograph.privacy import public_name
from boneseg.radiograph.read import read_as_stored, read_radiograph
from boneseg.radiograph.sniff import PNG_SIGNATURE, is_dicom
from boneseg.server.encoding import (
    packed_film,
    packed_mask,
    packed_probability,
    png,
    png_mask,
    unzipped_mask,
)
from boneseg.server.storage.history import digest
from boneseg.server.storage.results import (
    FACTS,
    FILM,
    PROBABILITY,
    SUGGESTION,
    THUMBNAIL,
    Author,
    Facts,
    StoredFacts,
)
from boneseg.server.workers.bones import Bone, drawn_bones, encoded_bones

THUMBNAIL_SIDE = 160  # px, the longer side

Result_co = TypeVar("Result_co", covariant=True)


@dataclass(frozen=True)
class Task(ABC, Generic[Result_co]):
    """A task for a film or mask at `path`; `name` identifies it in errors.

    An urgent task is done before all others, and is accepted even if the queue is full. A task for
    the API is done by the API's model.
    """

    path: Path
    name: str
    urgent: ClassVar[bool] = False
    for_api: ClassVar[bool] = False

    @abstractmethod
    def run(self, engine: Engine) -> Result_co:
        """The result, computed in the worker. Raises BonesegError."""


@dataclass(frozen=True)
class SegmentFilm(Task[StoredFacts]):
    """Segment a film and write what the page shows into `folder`."""

    folder: Path
    stamp: str  # of the film's file

    def run(self, engine: Engine) -> StoredFacts:
        film = read_as_stored(self.path, keep_names=True)  # the worker replaces the path
        finding, seconds = _timed(engine, film)
        found = _facts(engine, film, finding, seconds)
        answers = (*self._earlier_answers(), digest(png_mask(finding.mask)))
        facts = StoredFacts(
            **found.model_dump(), stamp=self.stamp, answers=tuple(dict.fromkeys(answers))
        )
        files = {
            FILM: packed_film(film.pixels),
            PROBABILITY: packed_probability(finding.probability),
            SUGGESTION: packed_mask(finding.mask),
            THUMBNAIL: png(_thumbnail(film.pixels)),
            FACTS: json.dumps(facts.model_dump()).encode(),  # last: marks the others as complete
        }
        self.folder.mkdir(parents=True, exist_ok=True)
        for file, content in files.items():
            with whole_file(self.folder / file) as temporary:
                temporary.write_bytes(content)
        return facts

    def _earlier_answers(self) -> tuple[str, ...]:
        with suppress(OSError, ValueError):  # there are none, or they are damaged
            return StoredFacts.read(self.folder / FACTS).answers
        return ()


@dataclass(frozen=True)
class SegmentUpload(Task[tuple[Facts, bytes]]):
    """Segment a film for the API: its facts, and its mask in a format of `FORMATS`."""

    form: str
    for_api: ClassVar[bool] = True

    def run(self, engine: Engine) -> tuple[Facts, bytes]:
        film = read_radiograph(self.path, keep_names=True)
        finding, seconds = _timed(engine, film)
        facts = _facts(engine, film, finding, seconds)
        found = engine.segmentation(film, finding, self.name)
        return facts, _encoded(found, self.form, self.path.parent)


@dataclass(frozen=True)
class NameUpload(Task[tuple[Facts, bytes, list[Bone]]]):
    """As `SegmentUpload`, with the names of the bones, and their masks. Raises UsageError."""

    form: str
    for_api: ClassVar[bool] = True

    def run(self, engine: Engine) -> tuple[Facts, bytes, list[Bone]]:
        engine.check_names()
        film = read_radiograph(self.path, keep_names=True)
        finding, seconds = _timed(engine, film)
        facts = _facts(engine, film, finding, seconds)
        found = engine.segmentation(film, finding, self.name, bones=True)
        content = _encoded(found, self.form, self.path.parent)
        return facts, content, encoded_bones(film, finding)


@dataclass(frozen=True)
class NameBones(Task[bytes]):
    """The bones on a film as the page draws them: JSON. Raises UsageError."""

    def run(self, engine: Engine) -> bytes:
        engine.check_names()
        film = read_radiograph(self.path, keep_names=True)
        return json.dumps(drawn_bones(film, engine.find(film))).encode()


@dataclass(frozen=True)
class _Export(Task[Result_co]):
    """A film with the mask that is exported.

    mask: its file, or gzipped bits. verdict: on an unchanged mask of the model.
    """

    form: str
    mask: Path | bytes
    author: Author
    spool: Path  # folder for temporary files
    verdict: Verdict | None = None

    def drawn(self, engine: Engine) -> Segmentation:
        """The mask with its film."""
        name = public_name(self.path)
        film = read_radiograph(self.path, keep_names=True)
        model = None if self.author == "person" else engine.bundle.card.model
        mask = drawn_mask(self.mask, film.shape, name)
        return Segmentation(film, mask, None, model, Path(name), judged=self.verdict)


def drawn_mask(mask: Path | bytes, shape: tuple[int, int], name: str) -> NDArray[np.bool_]:
    """A mask of (height, width) from its file or gzipped bits. Raises MaskError."""
    if isinstance(mask, Path):
        return read_mask(mask, shape=shape)
    return unzipped_mask(mask, shape, name)


@dataclass(frozen=True)
class ExportMask(_Export[tuple[str, bytes]]):
    """The public name of a film, and its mask in a format of `FORMATS`.

    Formats of probabilities use the model's instead of the mask.
    """

    def run(self, engine: Engine) -> tuple[str, bytes]:
        if not FORMATS[self.form].drawn:
            name, film = public_name(self.path), read_radiograph(self.path, keep_names=True)
            finding, _ = _timed(engine, film)
            found = engine.segmentation(film, finding, name)
            return name, _encoded(found, self.form, self.spool)
        drawn = self.drawn(engine)
        if self.form == "dicom-seg" and self.author == "both":
            return str(drawn.name), _corrected_seg(drawn)
        return str(drawn.name), _encoded(drawn, self.form, self.spool)


@dataclass(frozen=True)
class ExportEntry(_Export[object]):
    """The entry of a film in a document of several, in a format of `DOCUMENT_FORMATS`."""

    def run(self, engine: Engine) -> object:
        return DOCUMENT_FORMATS[self.form].entry(self.drawn(engine))


@dataclass(frozen=True)
class ReadMask(Task[bytes]):
    """A mask of `shape` (height, width) as gzipped bits. Raises MaskError.

    uploaded: must be PNG by its signature; otherwise it is a file of the data folder, in any format
    of `read_mask`.
    """

    shape: tuple[int, int]
    uploaded: bool
    urgent: ClassVar[bool] = True  # masks can be saved while the queue is full

    def run(self, engine: Engine) -> bytes:
        if not self.uploaded:
            return packed_mask(read_mask(self.path, shape=self.shape))
        with self.path.open("rb") as file:
            if file.read(len(PNG_SIGNATURE)) != PNG_SIGNATURE:
                raise MaskError(f"{self.path}: is not PNG; send the mask as PNG or as bits")
        return packed_mask(read_picture(self.path, self.shape, formats=("PNG",)))


def _timed(engine: Engine, film: Radiograph) -> tuple[Finding, float]:
    started = time.perf_counter()
    finding = engine.find(film)
    return finding, time.perf_counter() - started


def _facts(engine: Engine, film: Radiograph, finding: Finding, seconds: float) -> Facts:
    area = int(np.count_nonzero(finding.mask))
    verdict = finding.verdict.rounded()
    return Facts(
        height=film.shape[0],
        width=film.shape[1],
        spacing_mm=film.spacing_mm,
        spacing_kind=film.spacing_kind,
        threshold=engine.bundle.card.threshold,
        area_px=area,
        area_mm2=film.area_mm2(area),
        aspect=film.aspect,
        **asdict(verdict),
        dicom=is_dicom(film.source),
        tags=describe(film.source),
        seconds=round(seconds, 4),
        model=engine.bundle.card.card_sha256[:12],
    )


def _thumbnail(pixels: NDArray[np.float32]) -> Image.Image:
    image = Image.fromarray((pixels * 255 + 0.5).astype(np.uint8))
    image.thumbnail((THUMBNAIL_SIDE, THUMBNAIL_SIDE), Image.Resampling.BOX)
    return image


def _encoded(found: Segmentation, form: str, spool: Path) -> bytes:
    """A segmentation in a format of `FORMATS`; `spool` is a folder for a temporary file."""
    if form == "mask":  # the common case: the same as its writer, without a file
        return png_mask(found.mask)
    written, path = FORMATS[form], spool / f".{secrets.token_hex(8)}"
    try:
        if isinstance(written, DocumentFormat):
            written.write_document(path, [written.entry(found)])
        else:
            path = path.with_name(path.name + written.suffix)
            written.write(path, found)
        return path.read_bytes()
    finally:
        with suppress(OSError):
            path.unlink()


def _corrected_seg(corrected: Segmentation) -> bytes:
    """A DICOM Segmentation marked as a prediction corrected by a person."""
    from boneseg.masks.formats.dicom_seg.source import read_source  # slow to import
    from boneseg.masks.formats.dicom_seg.write import dicom_seg

    source = read_source(corrected.film.source, corrected.name)
    encoded = io.BytesIO()
    dicom_seg(source, corrected, corrected=True).save_as(encoded, enforce_file_format=True)
    return encoded.getvalue()
