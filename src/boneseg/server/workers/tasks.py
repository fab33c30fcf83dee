"""The worker's tasks: segment a film, respond to the API, write a download, read a mask.

Each task takes the engine, the film's path and its display name, and returns plain values that can
be pickled. Errors use the display name, not the path of the upload.
"""

from __future__ import annotations

import gzip
import io
import json
import secrets
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from boneseg._util.files import whole_file
from boneseg.errors import MaskError
from boneseg.inference.engine import Engine, Finding, agreement
from boneseg.masks.formats import FORMATS, DocumentFormat
from boneseg.masks.formats.png import read_picture
from boneseg.masks.read import read_mask
from boneseg.masks.segmentation import Segmentation
from boneseg.radiograph.privacy import public_name
from boneseg.radiograph.read import Radiograph, read_radiograph
from boneseg.server.encoding import (
    packed_film,
    packed_mask,
    packed_probability,
    png,
    png_mask,
    unpacked_mask,
)

Hand = Literal["model", "both", "person"]  # who made a mask; both: a corrected suggestion
THUMBNAIL = 160  # px, the longer side
FILM, PROBABILITY, SUGGESTION = "film.u16.gz", "probability.u8.gz", "suggestion.bits.gz"
THUMBNAIL_FILE, FACTS = "thumbnail.png", "facts.json"
PNG_MARK = b"\x89PNG\r\n\x1a\n"  # PNG 5.2


@dataclass(frozen=True)
class Facts:
    """The results for a segmented film."""

    height: int
    width: int
    spacing_mm: tuple[float, float] | None
    spacing_kind: str
    threshold: float  # the model's
    area_px: int  # of the suggested mask
    area_mm2: float | None
    confidence: float  # mean over pixels of the probability of the predicted class
    trust: float | None  # agreement of the augmented predictions, in [0, 1]
    seconds: float  # in the engine
    model: str  # the bundle's digest
    stamp: str  # of the film's file


def look(engine: Engine, path: Path, name: str, folder: Path, stamp: str) -> Facts:
    """Segment a film and write what the page shows into `folder`."""
    film = read_radiograph(path, keep_names=True)  # the worker replaces the path by the name
    finding, seconds = _timed(engine, film)
    trust = finding.trust if finding.trust is not None else mirror_trust(engine, film, finding)
    facts = _facts(engine, film, finding, trust, seconds, stamp)
    folder.mkdir(parents=True, exist_ok=True)
    files = {
        FILM: packed_film(film.pixels),
        PROBABILITY: packed_probability(finding.probability),
        SUGGESTION: packed_mask(finding.mask),
        THUMBNAIL_FILE: png(_thumbnail(film.pixels)),
        FACTS: json.dumps(asdict(facts)).encode(),  # last: marks the others as complete
    }
    for file, content in files.items():
        with whole_file(folder / file) as temporary:
            temporary.write_bytes(content)
    return facts


def answer(engine: Engine, path: Path, name: str, form: str) -> tuple[dict[str, Any], bytes]:
    """Segment a film for the API: its facts, and its mask in the format `form`."""
    film = read_radiograph(path, keep_names=True)
    finding, seconds = _timed(engine, film)
    facts = asdict(_facts(engine, film, finding, finding.trust, seconds, stamp=""))
    del facts["stamp"]
    return facts, _written(_found(engine, film, finding, name), form, path.parent)


def download(
    engine: Engine, path: Path, _: str, form: str, mask: Path | bytes, hand: Hand, spool: Path
) -> tuple[str, bytes]:
    """The public name of a film, and its mask in one of FORMATS.

    mask: its file, or gzipped bits; hand: who made it. Formats of probabilities use the model's.
    """
    name = public_name(path)
    return name, _downloaded(engine, path, name, form, mask, hand, spool)


def _downloaded(
    engine: Engine, path: Path, name: str, form: str, mask: Path | bytes, hand: Hand, spool: Path
) -> bytes:
    film = read_radiograph(path, keep_names=True)
    if not FORMATS[form].drawn:
        finding, _ = _timed(engine, film)
        return _written(_found(engine, film, finding, name), form, spool)
    height, width = film.pixels.shape
    if isinstance(mask, Path):
        shown = read_mask(mask, shape=(height, width))
    else:
        shown = unpacked_mask(gzip.decompress(mask), (height, width), name)
    model = None if hand == "person" else engine.bundle.card.model
    corrected = Segmentation(film, shown, None, model, Path(name))
    if form == "dicom-seg" and hand == "both":
        return _corrected_seg(corrected)
    return _written(corrected, form, spool)


def mask(engine: Engine, path: Path, name: str, shape: tuple[int, int], drawn: bool) -> bytes:
    """A mask of a film of `shape` (height, width), as gzipped bits. Raises MaskError.

    drawn: it was uploaded, and must be PNG by its signature; otherwise it is a file of the folder,
    in any format of `read_mask`.
    """
    if not drawn:
        return packed_mask(read_mask(path, shape=shape))
    with path.open("rb") as file:
        if file.read(len(PNG_MARK)) != PNG_MARK:
            raise MaskError(f"{path}: is not PNG; send the mask as PNG or as bits")
    return packed_mask(read_picture(path, shape, formats=("PNG",)))


def mirror_trust(engine: Engine, film: Radiograph, finding: Finding) -> float:
    """Agreement (Dice) of the predictions for a film and its mirror image, in [0, 1]."""
    turned = replace(film, pixels=np.ascontiguousarray(film.pixels[:, ::-1]))
    mirrored = engine.find(turned).probability[:, ::-1]
    views = np.stack([finding.probability, mirrored])
    step = max(1, round((finding.mask.size / 1_000_000) ** 0.5))  # a megapixel is sufficient
    return agreement(views[:, ::step, ::step], engine.bundle.card.threshold)


TASKS: dict[str, Callable[..., Any]] = {
    "look": look,
    "answer": answer,
    "download": download,
    "mask": mask,
}


def _timed(engine: Engine, film: Radiograph) -> tuple[Finding, float]:
    started = time.perf_counter()
    finding = engine.find(film)
    return finding, time.perf_counter() - started


def _facts(
    engine: Engine,
    film: Radiograph,
    finding: Finding,
    trust: float | None,
    seconds: float,
    stamp: str,
) -> Facts:
    area, spacing, p = int(finding.mask.sum()), film.spacing_mm, finding.probability
    return Facts(
        height=film.pixels.shape[0],
        width=film.pixels.shape[1],
        spacing_mm=spacing,
        spacing_kind=film.spacing_kind,
        threshold=engine.bundle.card.threshold,
        area_px=area,
        area_mm2=round(area * spacing[0] * spacing[1], 2) if spacing else None,
        confidence=round(float(np.maximum(p, 1 - p).mean()), 4),
        trust=round(trust, 4) if trust is not None else None,
        seconds=round(seconds, 4),
        model=engine.bundle.card.card_sha256[:12],
        stamp=stamp,
    )


def _thumbnail(pixels: NDArray[np.float32]) -> Image.Image:
    image = Image.fromarray((pixels * 255 + 0.5).astype(np.uint8))
    image.thumbnail((THUMBNAIL, THUMBNAIL), Image.Resampling.BOX)
    return image


def _found(engine: Engine, film: Radiograph, finding: Finding, name: str) -> Segmentation:
    model = engine.bundle.card.model
    return Segmentation(film, finding.mask, finding.probability, model, Path(name))


def _written(found: Segmentation, form: str, spool: Path) -> bytes:
    """A segmentation in a format, as bytes."""
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
    from boneseg.masks.formats.dicom_seg.write import dicom_seg, read_source

    source = read_source(corrected.film.source, corrected.name)
    found = dicom_seg(source, corrected, corrected=True)
    written = io.BytesIO()
    found.save_as(written, enforce_file_format=True)
    return written.getvalue()
