"""JSON, files and masks as responses."""

from __future__ import annotations

import asyncio
import json
import math
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO
from urllib.parse import quote

from fastapi import Response
from fastapi.responses import JSONResponse, StreamingResponse

from boneseg.server.encoding import png_mask, unzipped_mask
from boneseg.server.errors import NotFoundError
from boneseg.server.light_box import LightBox
from boneseg.server.routes.media_types import BITS, PNG
from boneseg.server.storage.results import Facts
from boneseg.server.workers.tasks import ReadMask

CHUNK = 2**18  # bytes


class Json(JSONResponse):
    """A JSON response: see `as_json`."""

    def render(self, content: object) -> bytes:
        return as_json(content).encode()


def as_json(content: object) -> str:
    """A JSON (RFC 8259) document on one line.

    Non-finite numbers become null; bytes of a film's name that are not UTF-8 become \\udcXX.
    """
    text = json.dumps(_finite(content), ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return re.sub("[\ud800-\udfff]", lambda lone: f"\\\\u{ord(lone[0]):x}", text)


def _finite(content: object) -> object:
    if isinstance(content, dict):
        return {key: _finite(value) for key, value in content.items()}
    if isinstance(content, list | tuple):
        return [_finite(value) for value in content]
    return None if isinstance(content, float) and not math.isfinite(content) else content


def file_response(path: Path, kind: str, headers: dict[str, str]) -> Response:
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
    return file_response(path, BITS, {"Content-Encoding": "gzip"})


async def mask_response(
    box: LightBox, name: str, path: Path, facts: Facts, wanted: str
) -> Response:
    """A mask on disk as PNG or bits. Raises MaskError where it does not have the film's size."""
    packed = await box.run(ReadMask(path, name, (facts.height, facts.width), uploaded=False))
    if wanted == BITS:
        return Response(packed, media_type=BITS, headers={"Content-Encoding": "gzip"})
    mask = await asyncio.to_thread(unzipped_mask, packed, (facts.height, facts.width), name)
    return Response(await asyncio.to_thread(png_mask, mask), media_type=PNG)


def attachment(name: str) -> dict[str, str]:
    """The Content-Disposition header of a download (RFC 6266)."""
    plain = re.sub(r"[^A-Za-z0-9._ ()+-]", "_", name)
    quoted = quote(name, safe="", errors="replace")
    return {"Content-Disposition": f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quoted}"}
