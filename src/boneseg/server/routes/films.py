"""The films of the data folder, and what the model found on them."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from fastapi import APIRouter, Request, Response

from boneseg.errors import BonesegError
from boneseg.server.light_box import LightBox
from boneseg.server.routes.dependencies import FILE_BODY, Box, Film, uploaded_film
from boneseg.server.routes.media_types import PNG
from boneseg.server.routes.responses import file_response, packed_file
from boneseg.server.storage.entry import Entry
from boneseg.server.storage.results import FILM, PROBABILITY, THUMBNAIL

router = APIRouter(tags=["films"])


@router.get("/api/films", response_model=None)
def films(box: Box) -> dict[str, object]:
    """List all films: state, verdict, size; `place` is the rank among those to correct next."""
    rows = box.rows()
    places = {film: place for place, film in enumerate(box.correction_order())}
    listed = [{**row.to_json(), "place": places.get(row.entry.id)} for row in rows]
    return {"version": box.library.version, "films": listed}


@router.post("/api/films", status_code=201, openapi_extra=FILE_BODY, response_model=None)
async def add_film(request: Request, box: Box) -> dict[str, object]:
    """Add a film. It is segmented at once and joins the dataset when its mask is saved."""
    async with uploaded_film(request, box) as (name, path):
        entry = await asyncio.to_thread(box.library.add, name, path)
    try:
        await box.segment(entry)
    except BaseException:  # a file that cannot be read is not kept
        with suppress(BonesegError):  # removed on the page meanwhile
            await asyncio.to_thread(box.remove, entry)
        raise
    return box.row(entry).to_json()


@router.get("/api/films/{film}", response_model=None)
async def film(box: Box, entry: Film) -> dict[str, object]:
    """One film, segmented first if necessary."""
    await box.segment(entry)
    return box.row(entry).to_json()


@router.delete("/api/films/{film}", status_code=204, response_class=Response)
def remove_film(box: Box, entry: Film) -> Response:
    """Remove an added film that was never saved. Films of the dataset cannot be removed."""
    box.remove(entry)
    return Response(status_code=204)


@router.get("/api/films/{film}/thumbnail", response_class=Response)
async def thumbnail(box: Box, entry: Film) -> Response:
    """A small PNG of the film."""
    if box.thumbnail_stamp(entry) is None:
        await box.segment(entry)
    path = box.library.cache.file(entry.id, THUMBNAIL)
    return await asyncio.to_thread(file_response, path, PNG, {"Cache-Control": "no-cache"})


@router.get("/api/films/{film}/pixels", response_class=Response)
async def pixels(box: Box, entry: Film) -> Response:
    """The film as displayed: uint16, little-endian, row-major; 65535 is white."""
    return await packed_result(box, entry, FILM)


@router.get("/api/films/{film}/probability", response_class=Response)
async def probability(box: Box, entry: Film) -> Response:
    """The probability of bone: uint8, row-major; floor(256 p), at most 255."""
    return await packed_result(box, entry, PROBABILITY)


@router.get("/api/next")
def next_film(box: Box, after: str | None = None) -> dict[str, str | None]:
    """The most informative film to correct next, except `after`, the one just left."""
    order = [film for film in box.correction_order() if film != after]
    return {"id": order[0] if order else None}


async def packed_result(box: LightBox, entry: Entry, name: str) -> Response:
    """A gzipped result file of a film, which is segmented first if necessary."""
    await box.segment(entry)
    return await asyncio.to_thread(packed_file, box.library.cache.file(entry.id, name))
