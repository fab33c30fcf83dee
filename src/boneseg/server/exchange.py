"""What comes in with a request and goes out with an answer: uploads, masks, kinds, names."""

from __future__ import annotations

import asyncio
import gzip
import json
import re
import shutil
from pathlib import Path
from typing import Any
from urllib.parse import quote

from fastapi import Request, Response
from fastapi.responses import FileResponse, JSONResponse
from starlette.datastructures import UploadFile

from boneseg.errors import MaskError, OutputError
from boneseg.masks import read_mask
from boneseg.server.box import LightBox
from boneseg.server.library import Entry
from boneseg.server.packing import Mask, packed_mask, png_mask, unpacked_mask
from boneseg.server.refusals import BadRequestError
from boneseg.server.tasks import SUGGESTION, Facts

BITS, PNG, DICOM = "application/octet-stream", "image/png", "application/dicom"


async def take_upload(request: Request, box: LightBox) -> tuple[str, Path]:
    """The name and a temporary path of the one file of a multipart body."""
    async with request.form(max_files=1, max_fields=8) as form:
        file = form.get("file")
        if not isinstance(file, UploadFile):
            raise BadRequestError("there is no file; send one as multipart/form-data, named file")
        name = _shown(file.filename or "film")
        suffix = Path(name).suffix.lower()
        path = box.spooled(suffix if re.fullmatch(r"\.\w{1,5}", suffix) else "")
        await asyncio.to_thread(_copy, file, path, name)
    return name, path


def _copy(file: UploadFile, path: Path, name: str) -> None:
    try:
        with path.open("wb") as target:
            shutil.copyfileobj(file.file, target, 2**20)
    except OSError as error:
        path.unlink(missing_ok=True)
        reason = f"cannot be taken in ({error.strerror})"
        raise OutputError(f"{name}: {reason}; free space in the data folder") from None


def _shown(name: str) -> str:
    """A name from outside as messages show it: its last part, one line, not too long."""
    last = re.split(r"[\\/]", name)[-1]
    return "".join(letter for letter in last if letter.isprintable())[:120] or "film"


async def drawn_mask(request: Request, box: LightBox, entry: Entry, facts: Facts) -> Mask:
    """The mask in a request's body. Raises MaskError for what is none, or of another size."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    shape = (facts.height, facts.width)
    body = await request.body()
    if kind == BITS:
        return await asyncio.to_thread(unpacked_mask, body, shape, entry.name)
    if kind != PNG:
        raise BadRequestError(f"{entry.name}: send the mask as {PNG} or {BITS}, not {kind[:40]!r}")
    path = box.spooled(".png")
    try:
        await asyncio.to_thread(path.write_bytes, body)
        return await asyncio.to_thread(read_mask, path, shape)
    except MaskError as error:  # it names our own path, which says nothing to anybody
        raise MaskError(str(error).replace(str(path), entry.name)) from None
    except OSError as error:
        raise OutputError(f"{entry.name}: cannot be taken in ({error.strerror})") from None
    finally:
        await asyncio.to_thread(path.unlink, missing_ok=True)


def read_saved(path: Path, facts: Facts) -> Mask:
    """A mask on disk, of the film's size. Raises MaskError."""
    return read_mask(path, shape=(facts.height, facts.width))


def suggested_mask(box: LightBox, entry: Entry, facts: Facts) -> Mask:
    """The mask that the model suggests."""
    packed = box.library.cache.file(entry.id, SUGGESTION).read_bytes()
    return unpacked_mask(gzip.decompress(packed), (facts.height, facts.width), entry.name)


def mask_answer(found: Mask, wanted: str, headers: dict[str, str]) -> Response:
    """A mask as PNG or bits."""
    if wanted == PNG:
        return Response(png_mask(found), media_type=PNG, headers=headers)
    return Response(
        packed_mask(found), media_type=BITS, headers=headers | {"Content-Encoding": "gzip"}
    )


def packed_file(path: Path) -> Response:
    """A gzipped file, which browsers unpack."""
    return FileResponse(path, media_type=BITS, headers={"Content-Encoding": "gzip"})


def accepted_kind(request: Request, offered: tuple[str, ...]) -> str:
    """The kind among those offered that the Accept header likes best; the first for any."""
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
        raise BadRequestError(f"Accept: {', '.join(offered)} are given, none of what is asked for")
    return best


class Json(JSONResponse):
    """JSON in which bytes of a film's name that are no UTF-8 are written as \\udcXX."""

    def render(self, content: Any) -> bytes:
        text = json.dumps(content, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
        return re.sub("[\ud800-\udfff]", lambda lone: f"\\\\u{ord(lone[0]):x}", text).encode()


def attachment(name: str) -> dict[str, str]:
    """The header of a file to keep (RFC 6266)."""
    plain = re.sub(r"[^A-Za-z0-9._ ()+-]", "_", name)
    quoted = quote(name, safe="", errors="replace")
    return {"Content-Disposition": f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quoted}"}
