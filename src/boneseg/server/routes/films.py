"""The API for films and masks."""

from __future__ import annotations

import asyncio
import base64
import mimetypes
import time
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Header, Query, Request, Response
from fastapi import Path as PathWord

import boneseg
from boneseg.errors import BonesegError
from boneseg.masks.filenames import stem_of
from boneseg.masks.formats import FORMATS
from boneseg.server.encoding import png_mask
from boneseg.server.errors import BadRequestError, ConflictError, NotFoundError
from boneseg.server.light_box import LightBox
from boneseg.server.routes.http import (
    BITS,
    DICOM,
    PNG,
    Json,
    accepted_kind,
    as_json,
    attachment,
    drawn_mask,
    file_answer,
    packed_file,
    saved_mask,
    suggested_mask,
    take_upload,
)
from boneseg.server.storage.library import NONE, Entry
from boneseg.server.workers.tasks import FILM, PROBABILITY, SUGGESTION, THUMBNAIL_FILE, Hand

router = APIRouter()


def _film(
    request: Request, film: Annotated[str, PathWord(description="The film's id, from the list.")]
) -> Entry:
    """The film with an id, which is looked up and never becomes part of a path on disk."""
    return _box(request).library.entry(film)


Film = Annotated[Entry, Depends(_film)]
_FILE_BODY = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["file"],
                    "properties": {"file": {"type": "string", "format": "binary"}},
                }
            }
        },
    }
}
_MASK_BODY = {
    "requestBody": {
        "required": True,
        "content": {
            kind: {"schema": {"type": "string", "format": "binary"}} for kind in (PNG, BITS)
        },
    }
}
_MASK_ANSWER: dict[int | str, dict[str, Any]] = {
    200: {"content": {PNG: {}, BITS: {}}, "description": "The mask, by Accept header."}
}
_SEGMENT_ANSWER: dict[int | str, dict[str, Any]] = {
    200: {
        "content": {PNG: {}, "application/json": {}, DICOM: {}},
        "description": "The mask, by Accept header.",
    },
    413: {"description": "The upload is too large."},
    422: {"description": "The file is not a readable radiograph; the error gives the reason."},
    503: {"description": "The queue is full; retry after Retry-After seconds."},
}


@router.post(
    "/api/segment",
    openapi_extra=_FILE_BODY,
    responses=_SEGMENT_ANSWER,
    response_class=Response,
    tags=["bones"],
)
async def segment(request: Request) -> Response:
    """Segment one film: multipart `file` in; PNG, JSON or DICOM SEG out, by Accept.

    PNG: the mask, 0/255, on the film's own grid; the header Boneseg-Facts holds the rest as JSON.
    JSON: area, confidence, spacing, model, and the mask as base64 PNG in `mask_png`.
    application/dicom: a Segmentation that references the film, which must be DICOM itself.
    """
    box, started = _box(request), time.perf_counter()
    wanted = accepted_kind(request, (PNG, "application/json", DICOM))
    box.desk.check_room()
    name, path = await take_upload(request, box)
    try:
        form = "dicom-seg" if wanted == DICOM else "mask"
        facts, content = await box.run("answer", name, path, form)
    finally:
        await asyncio.to_thread(path.unlink, missing_ok=True)
    request.app.state.requests.took(time.perf_counter() - started)
    if wanted == "application/json":
        encoded = base64.b64encode(content).decode()
        return Json({"name": name, **facts, "mask_png": encoded})
    return Response(content, media_type=wanted, headers={"Boneseg-Facts": as_json(facts)})


@router.get("/api/films", tags=["films"])
def films(request: Request) -> dict[str, Any]:
    """List all films: state, trust, size; `place` is the rank among those to correct next."""
    box = _box(request)
    return {"version": box.library.version, "films": box.rows()}


@router.post("/api/films", status_code=201, openapi_extra=_FILE_BODY, tags=["films"])
async def add_film(request: Request) -> dict[str, Any]:
    """Add a film. It is segmented at once and joins the dataset when its mask is saved."""
    box = _box(request)
    box.desk.check_room()
    name, path = await take_upload(request, box)
    try:
        entry = await asyncio.to_thread(box.library.drop, name, path)
    finally:
        await asyncio.to_thread(path.unlink, missing_ok=True)
    try:
        await box.look(entry)
    except BaseException:  # a file that cannot be read is not kept
        with suppress(BonesegError):  # removed on the page meanwhile
            await asyncio.to_thread(box.remove, entry)
        raise
    return box.row(entry)


@router.get("/api/films/{film}", tags=["films"])
async def film(request: Request, entry: Film) -> dict[str, Any]:
    """One film, segmented first if necessary."""
    box = _box(request)
    await box.look(entry)
    return box.row(entry)


@router.delete("/api/films/{film}", status_code=204, response_class=Response, tags=["films"])
def remove_film(request: Request, entry: Film) -> Response:
    """Remove an added film that was never saved. Films of the dataset cannot be removed."""
    _box(request).remove(entry)
    return Response(status_code=204)


@router.get("/api/films/{film}/thumbnail", response_class=Response, tags=["films"])
async def thumbnail(request: Request, entry: Film) -> Response:
    """A small PNG of the film."""
    return await _found(request, entry, THUMBNAIL_FILE, PNG, packed=False)


@router.get("/api/films/{film}/pixels", response_class=Response, tags=["films"])
async def pixels(request: Request, entry: Film) -> Response:
    """The film as displayed: uint16, little-endian, row-major; 65535 is white."""
    return await _found(request, entry, FILM, BITS)


@router.get("/api/films/{film}/probability", response_class=Response, tags=["films"])
async def probability(request: Request, entry: Film) -> Response:
    """The probability of bone: uint8, row-major; floor(256 p), at most 255."""
    return await _found(request, entry, PROBABILITY, BITS)


@router.get(
    "/api/films/{film}/suggestion",
    response_class=Response,
    responses=_MASK_ANSWER,
    tags=["masks"],
)
async def suggestion(request: Request, entry: Film) -> Response:
    """The mask suggested by the model: PNG, or bits (application/octet-stream)."""
    if accepted_kind(request, (PNG, BITS)) == BITS:
        return await _found(request, entry, SUGGESTION, BITS)
    box = _box(request)
    facts = await box.look(entry)
    mask = await asyncio.to_thread(suggested_mask, box, entry, facts)
    return Response(await asyncio.to_thread(png_mask, mask), media_type=PNG)


@router.get(
    "/api/films/{film}/mask", response_class=Response, responses=_MASK_ANSWER, tags=["masks"]
)
async def mask(request: Request, entry: Film) -> Response:
    """The saved mask, as PNG or bits; the ETag is its revision. 404 if there is none."""
    box = _box(request)
    wanted = accepted_kind(request, (PNG, BITS))
    facts = await box.known(entry)
    entry.check_clear()
    if entry.mask is None:
        raise NotFoundError(f"{entry.name}: has no mask yet")
    revision = box.library.revision(entry)
    answer = await saved_mask(box, entry.name, entry.mask, facts, wanted)
    answer.headers["ETag"] = f'"{revision}"'
    return answer


@router.put("/api/films/{film}/mask", openapi_extra=_MASK_BODY, tags=["masks"])
async def save_mask(
    request: Request,
    entry: Film,
    state: Annotated[Literal["corrected", "accepted"], Query()] = "corrected",
    if_match: Annotated[str | None, Header()] = None,
) -> dict[str, Any]:
    """Save a film's mask: PNG (0/255), or bits. If-Match holds the revision it is based on.

    Returns 409 without overwriting if the mask was changed in the meantime. The revision of a film
    without a mask is "none".
    """
    box = _box(request)
    _check_keeps(box)
    if if_match is None and entry.mask is not None:
        raise ConflictError(f"{entry.name}: has a mask; send the revision you edited (If-Match)")
    drawn = await drawn_mask(request, box, entry, await box.known(entry))
    seen = (if_match or NONE).strip('"')
    saved, _ = await asyncio.to_thread(box.library.save, entry.id, drawn, state, seen)
    return box.row(saved)


@router.put(
    "/api/films/{film}/draft",
    status_code=204,
    response_class=Response,
    openapi_extra=_MASK_BODY,
    tags=["masks"],
)
async def keep_draft(request: Request, entry: Film) -> Response:
    """Store unsaved changes as a draft."""
    box = _box(request)
    drawn = await drawn_mask(request, box, entry, await box.known(entry))
    await asyncio.to_thread(box.library.keep_draft, entry.id, drawn)
    return Response(status_code=204)


@router.get("/api/films/{film}/draft", response_class=Response, tags=["masks"])
def draft(request: Request, entry: Film) -> Response:
    """The draft, as bits. 404 if there is none."""
    path = _box(request).library.draft(entry.id)
    if path is None:
        raise NotFoundError("there is no draft")
    return packed_file(path)


@router.delete("/api/films/{film}/draft", status_code=204, response_class=Response, tags=["masks"])
def drop_draft(request: Request, entry: Film) -> Response:
    """Delete the draft."""
    _box(request).library.drop_draft(entry.id)
    return Response(status_code=204)


@router.get("/api/films/{film}/history", tags=["masks"])
def history(request: Request, entry: Film) -> list[dict[str, str]]:
    """All saved masks of a film, newest first."""
    versions = _box(request).library.history.of(entry.name)
    return [{"revision": version.revision, "saved": version.saved} for version in versions]


@router.get(
    "/api/films/{film}/history/{revision}",
    response_class=Response,
    responses=_MASK_ANSWER,
    tags=["masks"],
)
async def earlier(request: Request, entry: Film, revision: str) -> Response:
    """An earlier mask of a film, as PNG or bits."""
    box = _box(request)
    wanted = accepted_kind(request, (PNG, BITS))
    facts = await box.look(entry)
    for version in box.library.history.of(entry.name):
        if version.revision == revision:
            return await saved_mask(box, entry.name, version.path, facts, wanted)
    raise NotFoundError(f"{entry.name}: has no version {revision[:16]}")


@router.get("/api/films/{film}/download", response_class=Response, tags=["masks"])
async def download(request: Request, entry: Film, form: str = "mask") -> Response:
    """The saved mask of a film, or else the suggested one, in a format of `segment --format`.

    Without a data folder: the draft, if there is one. The file is named as by `segment`, with a
    hash where the film's own name identifies the patient.
    """
    if form not in FORMATS:
        raise BadRequestError(f"form {form[:40]}: unknown format; choose from {', '.join(FORMATS)}")
    box = _box(request)
    await box.look(entry)
    shown, hand = await asyncio.to_thread(_newest_mask, box, entry)
    name, content = await box.run("download", entry.name, entry.image, form, shown, hand, box.spool)
    written = FORMATS[form]
    file_name = stem_of(Path(name)) + (written.suffix or f"_{written.document}")
    kind = mimetypes.guess_type(file_name)[0] or (DICOM if file_name.endswith(".dcm") else BITS)
    return Response(content, media_type=kind, headers=attachment(file_name))


@router.get("/api/next", tags=["films"])
def next_film(request: Request, after: str | None = None) -> dict[str, str | None]:
    """The most informative film to correct next, except `after`, the one just left."""
    order = [film for film in _box(request).teaching_order() if film != after]
    return {"id": order[0] if order else None}


@router.get("/api/health", tags=["server"])
def health(request: Request) -> dict[str, Any]:
    """Health of the server, and the state that the page polls: versions, queue, training."""
    box = _box(request)
    run = box.retraining.run
    metrics = box.model.card.metrics
    return {
        "ok": True,
        "boneseg": boneseg.__version__,
        "folder": box.library.name if box.keeps else None,
        "version": box.library.version,
        "waiting": box.desk.waiting,
        "deaths": box.desk.deaths,
        "upload_bytes": request.app.state.max_bytes,
        "model": {
            "digest": box.digest,
            "threshold": box.model.card.threshold,
            "dice": metrics.get("dice"),
        },
        "training": run.state if run is not None else None,
    }


def _box(request: Request) -> LightBox:
    box: LightBox = request.app.state.box
    return box


def _check_keeps(box: LightBox) -> None:
    if not box.keeps:
        raise ConflictError("no folder to save into; start with boneseg serve --data DIR")


def _newest_mask(box: LightBox, entry: Entry) -> tuple[Path | bytes, Hand]:
    """A film's mask as a file or as gzipped bits, and who made it."""
    draft = None if box.keeps else box.library.draft(entry.id)
    if draft is not None:
        return draft.read_bytes(), "both"
    if entry.mask is not None:
        return entry.mask, box.library.hand(entry)
    return box.library.cache.file(entry.id, SUGGESTION).read_bytes(), "model"


async def _found(
    request: Request, entry: Film, name: str, kind: str, *, packed: bool = True
) -> Response:
    """A result file of a film, which is segmented first if necessary."""
    box = _box(request)
    path = box.library.cache.file(entry.id, name)
    if name != THUMBNAIL_FILE or box.facts(entry) is None or not path.is_file():
        await box.look(entry)
    if packed:
        return await asyncio.to_thread(packed_file, path)
    return await asyncio.to_thread(file_answer, path, kind, {"Cache-Control": "no-cache"})
