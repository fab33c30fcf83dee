"""Measures and calibration of films: kept in the data folder, suggested, exported."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Literal

from fastapi import APIRouter, Header, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from boneseg.errors import RadiographError
from boneseg.masks.filenames import stem_of
from boneseg.masks.formats import dicom_seg
from boneseg.masks.measures.geometry import Measure, Point, Side
from boneseg.masks.measures.table import MeasuredFilm
from boneseg.radiograph.calibration import Calibration
from boneseg.radiograph.film import SPACINGS
from boneseg.radiograph.privacy import public_name
from boneseg.server.errors import BadRequestError, NotFoundError
from boneseg.server.light_box import LightBox
from boneseg.server.routes.dependencies import Box, Film, seen_revision, validated
from boneseg.server.routes.masks import check_installed, newest_mask
from boneseg.server.routes.media_types import CSV, DICOM, JSON
from boneseg.server.routes.responses import attachment
from boneseg.server.storage.entry import Entry
from boneseg.server.storage.measures import MOST, DrawnMeasure, FilmMeasures
from boneseg.server.workers.measuring import (
    FindMedialSide,
    ReportMeasures,
    SuggestAlignment,
    encoded_table,
)

router = APIRouter(tags=["measures"])

_FAR = 1e6  # px

Place = Annotated[float, Query(ge=-_FAR, le=_FAR)]


class Measures(BaseModel):
    """All measures of a film."""

    model_config = ConfigDict(extra="forbid")

    measures: list[DrawnMeasure] = Field(max_length=MOST)


class Width(BaseModel):
    """The width of a film's pixels, and how it was found."""

    model_config = ConfigDict(extra="forbid")

    mm_per_pixel: float = Field(ge=SPACINGS[0], le=SPACINGS[1])
    how: str = Field("", max_length=120)


def _body(schema: dict[str, object]) -> dict[str, object]:
    return {"requestBody": {"required": True, "content": {JSON: {"schema": schema}}}}


_MEASURES_BODY = _body(
    {
        "type": "object",
        "properties": {"measures": {"type": "array", "items": DrawnMeasure.model_json_schema()}},
    }
)
_WIDTH_BODY = _body(Width.model_json_schema())


@router.get("/api/films/{film}/measures", response_model=None)
async def measures(box: Box, entry: Film) -> dict[str, object]:
    """The measures of a film, in the order in which they were drawn, and their revision.

    shape: (height, width) of the film that they were drawn on, null where it is not known.
    """
    return _stored(await asyncio.to_thread(box.library.measures.record, entry.id))


@router.put("/api/films/{film}/measures", openapi_extra=_MEASURES_BODY, response_model=None)
async def save_measures(
    request: Request, box: Box, entry: Film, if_match: Annotated[str | None, Header()] = None
) -> dict[str, object]:
    """Replace the measures of a film. If-Match holds the revision that they are based on.

    Returns 409 without overwriting if they were changed in the meantime. The revision of a film
    without measures is "none".

    `measures`: kind (length, angle, cobb or alignment), points (x, y in px), name, suggested:
    whether the points are still those of boneseg, and medial: of an alignment, the side of the film
    that is medial (left, right, or null for not known), which tells varus from valgus. Where it is
    left out, it is found as by `medial`: leave it out of points that were moved.
    """
    sent = await validated(request, Measures)
    drawn = [_measure(one) for one in sent.measures]
    for at, one in enumerate(sent.measures):
        if one.kind == "alignment" and "medial" not in one.model_fields_set:
            side = await _medial_side(box, entry, *drawn[at].points[:2])
            drawn[at] = replace(drawn[at], medial=side)
    facts = await asyncio.to_thread(box.known_facts, entry)
    shape = None if facts is None else (facts.height, facts.width)
    seen = seen_revision(if_match)
    save = box.library.save_measures
    return _stored(await asyncio.to_thread(save, entry.id, drawn, seen, shape))


@router.get("/api/films/{film}/alignment", response_model=None)
async def alignment(box: Box, entry: Film) -> dict[str, object]:
    """The alignment of each whole leg, as suggested from the film's mask; empty for other films."""
    facts = await box.segment(entry)
    mask, _ = await asyncio.to_thread(newest_mask, box, entry)
    task = SuggestAlignment(entry.image, entry.name, mask, (facts.height, facts.width))
    return _as_json(await box.run(task))


@router.get("/api/films/{film}/medial", response_model=None)
async def medial(
    box: Box, entry: Film, hip_x: Place, hip_y: Place, knee_x: Place, knee_y: Place
) -> dict[str, object]:
    """The side of the film that is medial for a leg: left, right, or null where it is not known.

    From the shaft of the femur in the film's mask, or else from its header.
    """
    return {"medial": await _medial_side(box, entry, (hip_x, hip_y), (knee_x, knee_y))}


@router.get("/api/films/{film}/measures/download", response_class=Response)
async def download(
    box: Box, entry: Film, form: Annotated[Literal["csv", "dicom-sr"], Query()] = "csv"
) -> Response:
    """The measures of a film: CSV, or a DICOM structured report (TID 1500)."""
    drawn = box.library.measures.of(entry.id)
    if form == "csv":
        film = await _measured(box, entry, drawn)
        content = await asyncio.to_thread(encoded_table, [film])
        name = await asyncio.to_thread(public_name, entry.image)
        return _file(content, f"{stem_of(Path(name))}_measures.csv", CSV)
    check_installed(dicom_seg.LIBRARY, form)
    name, content = await box.run(ReportMeasures(entry.image, entry.name, tuple(drawn)))
    return _file(content, f"{stem_of(Path(name))}.sr.dcm", DICOM)


@router.get("/api/measures", response_class=Response)
async def all_measures(box: Box) -> Response:
    """The measures of all films, CSV."""
    entries = await asyncio.to_thread(box.library.entries)
    drawn = [(entry, box.library.measures.of(entry.id)) for entry in entries]
    films = [await _measured(box, entry, measures) for entry, measures in drawn if measures]
    return _file(await asyncio.to_thread(encoded_table, films), "measures.csv", CSV)


@router.put("/api/films/{film}/calibration", openapi_extra=_WIDTH_BODY, response_model=None)
async def calibrate(request: Request, box: Box, entry: Film) -> dict[str, object]:
    """Set the width of the film's pixels in mm, in DATA/calibration.csv."""
    sent = await validated(request, Width)
    calibration = Calibration(sent.mm_per_pixel, sent.how)
    await asyncio.to_thread(box.library.calibrate, entry, calibration)
    return box.row(entry).to_json()


@router.delete("/api/films/{film}/calibration", response_model=None)
async def remove_calibration(box: Box, entry: Film) -> dict[str, object]:
    """Return to the spacing that the film states, if any."""
    await asyncio.to_thread(box.library.calibrate, entry, None)
    return box.row(entry).to_json()


async def _medial_side(box: LightBox, entry: Entry, hip: Point, knee: Point) -> Side | None:
    facts = await box.segment(entry)
    mask, _ = await asyncio.to_thread(newest_mask, box, entry)
    shape = facts.height, facts.width
    return await box.run(FindMedialSide(entry.image, entry.name, mask, shape, hip, knee))


async def _measured(box: LightBox, entry: Entry, drawn: list[Measure]) -> MeasuredFilm:
    """The measures of a film with its spacing, for which the film is read.

    Raises BusyError, and RadiographError where the user's calibration cannot be read.
    """
    await asyncio.to_thread(box.library.calibration, entry)
    with suppress(RadiographError, NotFoundError):  # damaged or removed since it was measured
        await box.facts(entry)
    facts, title = box.row(entry).facts, await asyncio.to_thread(public_name, entry.image)
    if facts is None:
        return MeasuredFilm(title, drawn, None, "unknown")
    return MeasuredFilm(title, drawn, facts.spacing_mm, facts.spacing_kind)


def _stored(record: FilmMeasures) -> dict[str, object]:
    drawn = [one.measure() for one in record.measures]
    return {**_as_json(drawn), "revision": record.revision, "shape": record.shape}


def _as_json(drawn: list[Measure]) -> dict[str, object]:
    return {"measures": [DrawnMeasure.of(one).model_dump(exclude={"version"}) for one in drawn]}


def _measure(sent: DrawnMeasure) -> Measure:
    if any(abs(side) > _FAR for point in sent.points for side in point):
        raise BadRequestError("body.measures: a point is far from any film")
    return sent.measure()


def _file(content: bytes, name: str, kind: str) -> Response:
    return Response(content, media_type=kind, headers=attachment(name))
