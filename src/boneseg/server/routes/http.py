"""Request and response bodies: uploads, masks, JSON, content types, file names."""

from __future__ import annotations

import asyncio
import gzip
import json
import math
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import quote

from fastapi import Request, Response
from fastapi.responses import JSONResponse, StreamingResponse
from starlette.datastructures import UploadFile

from boneseg.errors import OutputError
from boneseg.server.encoding import Mask, png_mask, unpacked_mask
from boneseg.server.errors import (
    BadRequestError,
    MediaTypeError,
    NotFoundError,
    TooLargeError,
)
from boneseg.server.light_box import LightBox
from boneseg.server.storage.library import Entry
from boneseg.server.workers.tasks import SUGGESTION, Facts

BITS, PNG, DICOM = "application/octet-stream", "image/png", "application/dicom"
JSON, FORM = "application/json", "multipart/form-data"
LARGEST_JSON = 64 * 2**10  # bytes
BYTES_A_PIXEL, METADATA = 4, 2**20  # upper bounds of a mask as PNG: RGBA, and its metadata
CHUNK = 2**18


async def take_upload(request: Request, box: LightBox) -> tuple[str, Path]:
    """The name and the temporary path of the file in a multipart body."""
    kind = content_type(request)
    if kind != FORM:
        advice = f"no file in the request; send one as {FORM}, named file"
        raise MediaTypeError(f"{kind[:40]}: {advice}") if kind else BadRequestError(advice)
    async with request.form(max_files=1, max_fields=8) as form:
        file = form.get("file")
        if not isinstance(file, UploadFile):
            raise BadRequestError(f"no file in the request; send one as {FORM}, named file")
        name = _shown(file.filename or "film")
        suffix = Path(name).suffix.lower()
        path = box.spooled(suffix if re.fullmatch(r"\.\w{1,5}", suffix) else "")
        await asyncio.to_thread(_copy, file, path, name)
    return name, path


def _copy(file: UploadFile, path: Path, name: str) -> None:
    try:
        with private_file(path) as target:
            shutil.copyfileobj(file.file, target, CHUNK)
    except OSError as error:
        path.unlink(missing_ok=True)
        reason = f"cannot be stored ({error.strerror})"
        raise OutputError(f"{name}: {reason}; free space in the data folder") from None


def _shown(name: str) -> str:
    """A client's file name for messages: its last part, printable, at most 120 characters."""
    last = re.split(r"[\\/]", name)[-1]
    return "".join(letter for letter in last if letter.isprintable())[:120] or "film"


async def drawn_mask(request: Request, box: LightBox, entry: Entry, facts: Facts) -> Mask:
    """The mask in a request's body. Raises MaskError for an invalid or wrongly sized one."""
    kind, shape = content_type(request), (facts.height, facts.width)
    if kind not in (PNG, BITS):
        raise MediaTypeError(f"{entry.name}: send the mask as {PNG} or {BITS}, not {kind[:40]!r}")
    pixels = facts.height * facts.width
    most = (pixels + 7) // 8 if kind == BITS else pixels * BYTES_A_PIXEL + METADATA
    path = box.spooled()
    try:
        await _spool(request, path, most, entry.name)
        if kind == BITS:
            bits = await asyncio.to_thread(path.read_bytes)
            return await asyncio.to_thread(unpacked_mask, bits, shape, entry.name)
        packed = await box.run("mask", entry.name, path, shape, True)
        return await asyncio.to_thread(_unpacked, packed, facts, entry.name)
    except OSError as error:
        raise OutputError(f"{entry.name}: cannot be stored ({error.strerror})") from None
    finally:
        await asyncio.to_thread(path.unlink, missing_ok=True)


async def _spool(request: Request, path: Path, most: int, name: str) -> None:
    """Write a request's body to a file. Raises TooLargeError for more than `most` bytes."""
    taken = 0
    with private_file(path) as target:
        async for chunk in request.stream():
            taken += len(chunk)
            if taken > most:
                raise TooLargeError(
                    f"{name}: over the limit of {most} bytes for a mask of its size"
                )
            await asyncio.to_thread(target.write, chunk)


async def take_json(request: Request) -> Any:
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
    try:
        return json.loads(body.decode(), parse_constant=_refuse_constant) if body else None
    except (ValueError, RecursionError) as error:
        reason = "nested too deeply" if isinstance(error, RecursionError) else str(error)
        raise BadRequestError(f"the body is not JSON: {reason[:200]}") from None


def _refuse_constant(word: str) -> float:
    raise ValueError(f"{word} is not a JSON number")


def content_type(request: Request) -> str:
    """The media type of a request in lower case, without parameters; "" where there is none."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


def private_file(path: Path) -> BinaryIO:
    """A new file that only its owner can read. Raises OSError."""
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb")


async def saved_mask(box: LightBox, name: str, path: Path, facts: Facts, wanted: str) -> Response:
    """A mask on disk as PNG or bits. Raises MaskError where it does not have the film's size."""
    packed = await box.run("mask", name, path, (facts.height, facts.width), False)
    if wanted == BITS:
        return Response(packed, media_type=BITS, headers={"Content-Encoding": "gzip"})
    mask = await asyncio.to_thread(_unpacked, packed, facts, name)
    return Response(await asyncio.to_thread(png_mask, mask), media_type=PNG)


def suggested_mask(box: LightBox, entry: Entry, facts: Facts) -> Mask:
    """The mask that the model suggests."""
    packed = box.library.cache.file(entry.id, SUGGESTION).read_bytes()
    return _unpacked(packed, facts, entry.name)


def _unpacked(packed: bytes, facts: Facts, name: str) -> Mask:
    return unpacked_mask(gzip.decompress(packed), (facts.height, facts.width), name)


def file_answer(path: Path, kind: str, headers: dict[str, str]) -> Response:
    """A file, sent completely even if it is removed meanwhile. Raises NotFoundError."""
    try:
        file = path.open("rb")
    except OSError:
        raise NotFoundError("the file was just removed; reload the list") from None
    size = os.fstat(file.fileno()).st_size
    headers = headers | {"Content-Length": str(size)}
    return StreamingResponse(_chunks(file), media_type=kind, headers=headers)


def _chunks(file: BinaryIO) -> Iterator[bytes]:
    with file:
        while chunk := file.read(CHUNK):
            yield chunk


def packed_file(path: Path) -> Response:
    """A gzipped file, sent with Content-Encoding. Raises NotFoundError."""
    return file_answer(path, BITS, {"Content-Encoding": "gzip"})


def accepted_kind(request: Request, offered: tuple[str, ...]) -> str:
    """The offered media type that the Accept header prefers; the first on a tie.

    Raises BadRequestError where none is acceptable.
    """
    weights: dict[str, float] = {}
    for part in request.headers.get("accept", "*/*").split(","):
        kind, *more = (piece.strip().lower() for piece in part.split(";"))
        q = next((piece[2:] for piece in more if piece.startswith("q=")), "1")
        try:
            weights[kind] = float(q)
        except ValueError:
            weights[kind] = 0.0

    def weight(kind: str) -> float:
        family = f"{kind.partition('/')[0]}/*"
        return next((weights[k] for k in (kind, family, "*/*") if k in weights), 0.0)

    best = max(offered, key=weight)
    if weight(best) <= 0:
        raise BadRequestError(f"Accept: no available type; choose from {', '.join(offered)}")
    return best


class Json(JSONResponse):
    """A JSON response: see `as_json`."""

    def render(self, content: Any) -> bytes:
        return as_json(content).encode()


def as_json(content: Any) -> str:
    """A JSON (RFC 8259) document on one line.

    Non-finite numbers become null; bytes of a film's name that are not UTF-8 become \\udcXX.
    """
    text = json.dumps(_finite(content), ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return re.sub("[\ud800-\udfff]", lambda lone: f"\\\\u{ord(lone[0]):x}", text)


def _finite(content: Any) -> Any:
    if isinstance(content, dict):
        return {key: _finite(value) for key, value in content.items()}
    if isinstance(content, list | tuple):
        return [_finite(value) for value in content]
    return None if isinstance(content, float) and not math.isfinite(content) else content


def attachment(name: str) -> dict[str, str]:
    """The Content-Disposition header of a download (RFC 6266)."""
    plain = re.sub(r"[^A-Za-z0-9._ ()+-]", "_", name)
    quoted = quote(name, safe="", errors="replace")
    return {"Content-Disposition": f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quoted}"}
