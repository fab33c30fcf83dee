"""What routes take from a request: the light box, a film, an upload, a mask, a JSON document."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated, BinaryIO, TypeVar

from fastapi import Depends, Request
from fastapi import Path as PathParameter
from pydantic import BaseModel, ValidationError
from starlette.datastructures import UploadFile

from boneseg.errors import OutputError
from boneseg.server.encoding import Mask, unpacked_mask, unzipped_mask
from boneseg.server.errors import BadRequestError, MediaTypeError, TooLargeError, invalid
from boneseg.server.light_box import LightBox
from boneseg.server.routes.media_types import BITS, FORM, JSON, PNG, content_type
from boneseg.server.storage.entry import Entry
from boneseg.server.storage.results import Facts
from boneseg.server.workers.tasks import ReadMask

Model = TypeVar("Model", bound=BaseModel)

LARGEST_JSON = 64 * 2**10  # bytes
BYTES_PER_PIXEL, METADATA = 4, 2**20  # upper bounds of a mask as PNG: RGBA, and its metadata
CHUNK = 2**18  # bytes

FILE_BODY = {
    "requestBody": {
        "required": True,
        "content": {
            FORM: {
                "schema": {
                    "type": "object",
                    "required": ["file"],
                    "properties": {"file": {"type": "string", "format": "binary"}},
                }
            }
        },
    }
}
MASK_BODY = {
    "requestBody": {
        "required": True,
        "content": {
            kind: {"schema": {"type": "string", "format": "binary"}} for kind in (PNG, BITS)
        },
    }
}


async def _light_box(request: Request) -> LightBox:  # async: called without a thread
    box: LightBox = request.app.state.box
    return box


Box = Annotated[LightBox, Depends(_light_box)]


def _film(
    box: Box, film: Annotated[str, PathParameter(description="The film's id, from the list.")]
) -> Entry:
    """The film with an id, which is looked up and never becomes part of a path on disk."""
    return box.library.entry(film)


Film = Annotated[Entry, Depends(_film)]


def seen_revision(if_match: str | None) -> str | None:
    """The revision in an If-Match header, None without one.

    Raises BadRequestError for `*`, which would replace what nobody has seen, and for several.
    """
    if if_match is None:
        return None
    found = re.fullmatch(r'"?([0-9A-Za-z]{1,64})"?', if_match.strip())
    if found is None:
        raise BadRequestError("If-Match: send one revision, as it was read")
    return found[1]


@asynccontextmanager
async def uploaded_film(request: Request, box: LightBox) -> AsyncIterator[tuple[str, Path]]:
    """The name and the temporary path of the file in a multipart body.

    Raises BusyError, before the body is read, where the queue is full.
    """
    box.jobs.check_room()
    kind = content_type(request)
    if kind != FORM:
        advice = f"no file in the request; send one as {FORM}, named file"
        raise MediaTypeError(f"{kind[:40]}: {advice}") if kind else BadRequestError(advice)
    async with request.form(max_files=1, max_fields=8) as form:
        file = form.get("file")
        if not isinstance(file, UploadFile):
            raise BadRequestError(f"no file in the request; send one as {FORM}, named file")
        name = _display_name(file.filename or "film")
        suffix = Path(name).suffix.lower()
        path = box.spooled(suffix if re.fullmatch(r"\.\w{1,5}", suffix) else "")
        await asyncio.to_thread(_copy, file, path, name)
    try:
        yield name, path
    finally:
        await asyncio.to_thread(path.unlink, missing_ok=True)


def _copy(file: UploadFile, path: Path, name: str) -> None:
    try:
        with _private_file(path) as target:
            shutil.copyfileobj(file.file, target, CHUNK)
    except OSError as error:
        path.unlink(missing_ok=True)
        reason = f"cannot be stored ({error.strerror})"
        raise OutputError(f"{name}: {reason}; free space in the data folder") from None


def _display_name(name: str) -> str:
    """A client's file name for messages: its last part, printable, at most 120 characters."""
    last = re.split(r"[\\/]", name)[-1]
    return "".join(letter for letter in last if letter.isprintable())[:120] or "film"


async def uploaded_mask(request: Request, box: LightBox, entry: Entry, facts: Facts) -> Mask:
    """The mask in a request's body. Raises MaskError for an invalid or wrongly sized one."""
    kind, shape = content_type(request), (facts.height, facts.width)
    if kind not in (PNG, BITS):
        raise MediaTypeError(f"{entry.name}: send the mask as {PNG} or {BITS}, not {kind[:40]!r}")
    pixels = facts.height * facts.width
    most = (pixels + 7) // 8 if kind == BITS else pixels * BYTES_PER_PIXEL + METADATA
    path = box.spooled()
    try:
        await _spool(request, path, most, entry.name)
        if kind == BITS:
            bits = await asyncio.to_thread(path.read_bytes)
            return await asyncio.to_thread(unpacked_mask, bits, shape, entry.name)
        packed = await box.run(ReadMask(path, entry.name, shape, uploaded=True))
        return await asyncio.to_thread(unzipped_mask, packed, shape, entry.name)
    except OSError as error:
        raise OutputError(f"{entry.name}: cannot be stored ({error.strerror})") from None
    finally:
        await asyncio.to_thread(path.unlink, missing_ok=True)


async def _spool(request: Request, path: Path, most: int, name: str) -> None:
    """Write a request's body to a file. Raises TooLargeError for more than `most` bytes."""
    received = 0
    with _private_file(path) as target:
        async for chunk in request.stream():
            received += len(chunk)
            if received > most:
                raise TooLargeError(
                    f"{name}: over the limit of {most} bytes for a mask of its size"
                )
            await asyncio.to_thread(target.write, chunk)


async def json_document(request: Request) -> object:
    """The JSON document in a request's body; null where there is no body.

    Raises MediaTypeError, TooLargeError, and BadRequestError for what is not JSON (RFC 8259: in
    UTF-8, and without NaN and Infinity).
    """
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > LARGEST_JSON:
            raise TooLargeError(f"the body exceeds the limit of {LARGEST_JSON} bytes")
    kind = content_type(request)
    if kind != JSON and (kind or body):
        raise MediaTypeError(f"{kind[:40] or 'no type'}: send {JSON}")
    if not body:
        return None
    try:
        document: object = json.loads(body.decode(), parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        reason = "nested too deeply" if isinstance(error, RecursionError) else str(error)
        raise BadRequestError(f"the body is not JSON: {reason[:200]}") from None
    return document


async def validated(request: Request, model: type[Model]) -> Model:
    """The JSON document in a request's body as a model. Raises as `json_document` does."""
    try:
        return model.model_validate(await json_document(request))
    except ValidationError as error:
        first = error.errors()[0]
        raise BadRequestError(invalid({**first, "loc": ("body", *first["loc"])})) from None


def _refuse_constant(word: str) -> float:
    raise ValueError(f"{word} is not a JSON number")


def _private_file(path: Path) -> BinaryIO:
    """A new file that only its owner can read. Raises OSError."""
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb")
