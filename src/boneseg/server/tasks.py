"""What the worker does with a film: look at it, answer a program, write a download.

Each task takes the engine, the film's path and the name by which people know it, and gives plain
values that pass between processes. An error names the film by that name: the path of an upload says
nothing to anybody.
"""

from __future__ import annotations

import gzip
import io
import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from PIL import Image

from boneseg.engine import Engine, Finding, agreement
from boneseg.files import whole_file
from boneseg.masks import read_mask
from boneseg.prepare import Floats
from boneseg.radiograph import Radiograph, read_radiograph
from boneseg.server.packing import (
    Mask,
    packed_film,
    packed_mask,
    packed_probability,
    png,
    png_mask,
    unpacked_mask,
)
from boneseg.writers.overlay import overlay

Form = Literal["mask", "overlay", "dicom-seg"]
Hand = Literal["model", "both", "person"]  # who made a mask; both: a person corrected the model's
THUMBNAIL = 160  # px, the longer side
FILM, PROBABILITY, SUGGESTION = "film.u16.gz", "probability.u8.gz", "suggestion.bits.gz"
THUMBNAIL_FILE, FACTS = "thumbnail.png", "facts.json"


@dataclass(frozen=True)
class Facts:
    """What is known of a film once it was looked at."""

    height: int
    width: int
    spacing_mm: tuple[float, float] | None
    spacing_kind: str
    threshold: float  # the model's
    area_px: int  # of the bone suggested
    area_mm2: float | None
    confidence: float  # mean over pixels of the probability of the answer given
    trust: float | None  # how far the model's views agree, in [0, 1]
    seconds: float  # in the engine
    model: str  # the bundle's digest
    stamp: str  # of the film's file


def look(engine: Engine, path: Path, name: str, folder: Path, stamp: str) -> Facts:
    """Read a film, find its bones, and leave what a page shows of both in `folder`."""
    film = read_radiograph(path)
    finding, seconds = _timed(engine, film.pixels)
    trust = finding.trust if finding.trust is not None else mirror_trust(engine, finding)
    facts = _facts(engine, film, finding, trust, seconds, stamp)
    folder.mkdir(parents=True, exist_ok=True)
    files = {
        FILM: packed_film(film.pixels),
        PROBABILITY: packed_probability(finding.probability),
        SUGGESTION: packed_mask(finding.mask),
        THUMBNAIL_FILE: png(_thumbnail(film.pixels)),
        FACTS: json.dumps(asdict(facts)).encode(),  # last: it vouches for the others
    }
    for file, content in files.items():
        with whole_file(folder / file) as temporary:
            temporary.write_bytes(content)
    return facts


def answer(engine: Engine, path: Path, name: str, form: Form) -> tuple[dict[str, Any], bytes]:
    """Find the bones of one film for a program: what is known of it, and its mask as `form`."""
    film = read_radiograph(path)
    finding, seconds = _timed(engine, film.pixels)
    facts = asdict(_facts(engine, film, finding, finding.trust, seconds, stamp=""))
    del facts["stamp"]
    return facts, _written(engine, film, finding.mask, form, name, "model")


def download(
    engine: Engine, path: Path, name: str, form: Form, mask: Path | bytes, hand: Hand
) -> bytes:
    """A film's mask in another form. `mask` is its file, or gzipped bits; `hand` is whose it is."""
    film = read_radiograph(path)
    height, width = film.pixels.shape
    if isinstance(mask, Path):
        shown = read_mask(mask, shape=(height, width))
    else:
        shown = unpacked_mask(gzip.decompress(mask), (height, width), name)
    return _written(engine, film, shown, form, name, hand)


def mirror_trust(engine: Engine, finding: Finding) -> float:
    """How far what is found on a film agrees with what is found on its mirror image: Dice."""
    mirrored = engine.find(np.ascontiguousarray(finding.pixels[:, ::-1])).probability[:, ::-1]
    views = np.stack([finding.probability, mirrored])
    step = max(1, round((finding.mask.size / 1_000_000) ** 0.5))  # a megapixel tells as much
    return agreement(views[:, ::step, ::step], engine.bundle.card.threshold)


TASKS: dict[str, Callable[..., Any]] = {"look": look, "answer": answer, "download": download}


def _timed(engine: Engine, pixels: Floats) -> tuple[Finding, float]:
    started = time.perf_counter()
    finding = engine.find(pixels)
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


def _thumbnail(pixels: Floats) -> Image.Image:
    image = Image.fromarray((pixels * 255 + 0.5).astype(np.uint8))
    image.thumbnail((THUMBNAIL, THUMBNAIL), Image.Resampling.BOX)
    return image


def _written(
    engine: Engine, film: Radiograph, mask: Mask, form: Form, name: str, hand: Hand
) -> bytes:
    if form == "overlay":
        return png(Image.fromarray(overlay(film.pixels, mask)))
    if form == "dicom-seg":
        return _dicom_seg(engine, film, mask, name, hand)
    return png_mask(mask)


def _dicom_seg(engine: Engine, film: Radiograph, mask: Mask, name: str, hand: Hand) -> bytes:
    from boneseg.writers.dicom_seg import dicom_seg, read_source

    finding = Finding(mask.astype(np.float32), mask, None, film.pixels)
    card = None if hand == "person" else engine.bundle.card
    written = io.BytesIO()
    found = dicom_seg(read_source(film.source), finding, card, corrected=hand == "both", name=name)
    found.save_as(written, enforce_file_format=True)
    return written.getvalue()
