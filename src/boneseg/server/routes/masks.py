"""The masks of a film: suggested, saved and earlier ones, drafts, downloads."""

from __future__ import annotations

import asyncio
import mimetypes
from pathlib import Path
from typing import Annotated, Literal

from fastapi import APIRouter, Header, Query, Request, Response

from boneseg._util.extras import is_installed
from boneseg._util.text import one_line
from boneseg.masks.filenames import stem_of
from boneseg.masks.formats import FORMATS
from boneseg.masks.verdict import Verdict
from boneseg.server.encoding import png_mask, unzipped_mask
from boneseg.server.errors import BadRequestError, ConflictError, NotFoundError
from boneseg.server.light_box import LightBox
from boneseg.server.routes.dependencies import (
    MASK_BODY,
    Box,
    Film,
    seen_revision,
    uploaded_mask,
)
from boneseg.server.routes.films import packed_result
from boneseg.server.routes.media_types import BITS, DICOM, PNG, accepted_type
from boneseg.server.routes.responses import (
    attachment,
    mask_response,
    packed_file,
)
from boneseg.server.storage.entry import Entry
from boneseg.server.storage.mask_states import NO_MASK
from boneseg.server.storage.results import SUGGESTION, Author
from boneseg.server.workers.tasks import ExportMask

router = APIRouter(prefix="/api/films/{film}", tags=["masks"])

_MASK: dict[str, object] = {
    "content": {PNG: {}, BITS: {}},
    "description": "The mask, by Accept.",
}


@router.get("/suggestion", response_class=Response, responses={200: _MASK})
async def suggestion(request: Request, box: Box, entry: Film) -> Response:
    """The mask suggested by the model: PNG, or bits (application/octet-stream)."""
    if accepted_type(request, (PNG, BITS)) == BITS:
        return await packed_result(box, entry, SUGGESTION)
    facts = await box.segment(entry)

    def encoded() -> bytes:
        packed = box.library.cache.file(entry.id, SUGGESTION).read_bytes()
        return png_mask(unzipped_mask(packed, (facts.height, facts.width), entry.name))

    return Response(await asyncio.to_thread(encoded), media_type=PNG)


@router.get("/mask", response_class=Response, responses={200: _MASK})
async def mask(request: Request, box: Box, entry: Film) -> Response:
    """The saved mask, as PNG or bits; the ETag is its revision. 404 if there is none."""
    wanted = accepted_type(request, (PNG, BITS))
    facts = await box.facts(entry)
    entry.check_clear()
    if entry.mask is None:
        raise NotFoundError(f"{entry.name}: has no mask yet")
    revision = box.library.revision(entry)
    response = await mask_response(box, entry.name, entry.mask, facts, wanted)
    response.headers["ETag"] = f'"{revision}"'
    return response


@router.put("/mask", openapi_extra=MASK_BODY, response_model=None)
async def save_mask(
    request: Request,
    box: Box,
    entry: Film,
    state: Annotated[Literal["corrected", "accepted"], Query()] = "corrected",
    by: Annotated[str, Query(max_length=80, description="The reader's name.")] = "",
    if_match: Annotated[str | None, Header()] = None,
) -> dict[str, object]:
    """Save a film's mask: PNG (0/255), or bits. If-Match holds the revision it is based on.

    Returns 409 without overwriting if the mask was changed in the meantime. The revision of a film
    without a mask is "none".
    """
    if not box.keeps:
        raise ConflictError("masks cannot be saved: this light box has no data folder")
    if if_match is None and entry.mask is not None:
        raise ConflictError(f"{entry.name}: has a mask; send the revision you edited (If-Match)")
    drawn = await uploaded_mask(request, box, entry, await box.facts(entry))
    seen = seen_revision(if_match) or NO_MASK
    reader = one_line(by).strip()
    saved, _ = await asyncio.to_thread(box.save, entry, drawn, state, seen, reader)
    return box.row(saved).to_json()


@router.put("/draft", status_code=204, response_class=Response, openapi_extra=MASK_BODY)
async def keep_draft(
    request: Request, box: Box, entry: Film, if_match: Annotated[str | None, Header()] = None
) -> Response:
    """Store unsaved changes as a draft. If-Match holds the revision of the mask they are based on.

    That is only kept with the draft: one is stored whatever the revision is now.
    """
    drawn = await uploaded_mask(request, box, entry, await box.facts(entry))
    seen = seen_revision(if_match)
    await asyncio.to_thread(box.library.keep_draft, entry.id, drawn, seen)
    return Response(status_code=204)


@router.get("/draft", response_class=Response)
async def draft(box: Box, entry: Film) -> Response:
    """The draft, as bits. 404 if there is none, 409 if the film had another size.

    Boneseg-Based-On is the revision of the mask that it is based on: saving with it as If-Match
    shows whether the mask was changed meanwhile. Boneseg-Film is "changed" where the film's file
    was.
    """
    path, origin = box.library.drafts.of(entry.id), box.library.drafts.origin(entry.id)
    if path is None:
        raise NotFoundError("there is no draft")
    headers = {}
    if origin is not None:
        facts = await box.facts(entry)
        if (origin.height, origin.width) != (facts.height, facts.width):
            raise ConflictError(
                f"{entry.name}: its unsaved changes were drawn on {origin.height} x {origin.width} "
                f"pixels, and the film has {facts.height} x {facts.width} now; restore its file "
                "before you draw"
            )
        headers["Boneseg-Based-On"] = origin.revision
        headers["Boneseg-Film"] = "same" if origin.stamp == entry.stamp else "changed"
    response = packed_file(path)
    response.headers.update(headers)
    return response


@router.delete("/draft", status_code=204, response_class=Response)
def delete_draft(box: Box, entry: Film) -> Response:
    """Delete the draft."""
    box.library.drafts.delete(entry.id)
    return Response(status_code=204)


@router.get("/history")
def history(box: Box, entry: Film) -> list[dict[str, str | None]]:
    """All saved masks of a film, newest first, with their state and who saved them."""
    return [
        {
            "revision": version.revision,
            "saved": version.saved,
            "state": version.signature.state if version.signature is not None else None,
            "by": version.signature.by if version.signature is not None else "",
        }
        for version in box.library.history.of(entry.name)
    ]


@router.get("/history/{revision}", response_class=Response, responses={200: _MASK})
async def earlier_mask(request: Request, box: Box, entry: Film, revision: str) -> Response:
    """An earlier mask of a film, as PNG or bits."""
    wanted = accepted_type(request, (PNG, BITS))
    facts = await box.segment(entry)
    for version in box.library.history.of(entry.name):
        if version.revision == revision:
            return await mask_response(box, entry.name, version.path, facts, wanted)
    raise NotFoundError(f"{entry.name}: has no version {revision[:16]}")


@router.get("/download", response_class=Response)
async def download(box: Box, entry: Film, form: str = "mask") -> Response:
    """The saved mask of a film, or else the suggested one, in a format of `segment --format`.

    Without a data folder: the draft, if there is one. The file is named as by `segment`, with a
    hash where the film's own name identifies the patient.
    """
    check_form(form)
    name, content = await exported(box, entry, form)
    kind = mimetypes.guess_type(name)[0] or (DICOM if name.endswith(".dcm") else BITS)
    return Response(content, media_type=kind, headers=attachment(name))


def check_form(form: str) -> None:
    """Raise BadRequestError for a format that is not in `FORMATS`, or cannot be written here."""
    if form not in FORMATS:
        raise BadRequestError(f"form {form[:40]}: unknown format; choose from {', '.join(FORMATS)}")
    if library := FORMATS[form].library:
        check_installed(library, form)


def check_installed(library: str, form: str) -> None:
    """Raise BadRequestError where the library that writes a format is not installed."""
    if not is_installed(library):
        raise BadRequestError(f"form {form}: {library} is not installed on the server")


async def exported(box: LightBox, entry: Entry, form: str) -> tuple[str, bytes]:
    """The file name and the content of a film's mask in a format of `FORMATS`."""
    task = ExportMask(*await export_arguments(box, entry, form))
    name, content = await box.run(task)
    written = FORMATS[form]
    return stem_of(Path(name)) + (written.suffix or f"_{written.document}"), content


async def export_arguments(
    box: LightBox, entry: Entry, form: str
) -> tuple[Path, str, str, Path | bytes, Author, Path, Verdict | None]:
    """The fields of an `ExportMask` or `ExportEntry` for a film."""
    facts = await box.segment(entry)
    newest, author = await asyncio.to_thread(newest_mask, box, entry)
    verdict = facts.judgement() if author == "model" else None
    return entry.image, entry.name, form, newest, author, box.spool, verdict


def newest_mask(box: LightBox, entry: Entry) -> tuple[Path | bytes, Author]:
    """A film's mask as a file or as gzipped bits, and who made it."""
    draft = None if box.keeps else box.library.drafts.of(entry.id)
    if draft is not None:
        return draft.read_bytes(), "both"
    if entry.mask is not None:
        return entry.mask, box.library.author(entry)
    return box.library.cache.file(entry.id, SUGGESTION).read_bytes(), "model"
