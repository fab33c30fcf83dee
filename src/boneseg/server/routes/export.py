"""All accepted masks at once, as a ZIP archive."""

from __future__ import annotations

import asyncio
import zipfile
from pathlib import Path

from fastapi import APIRouter, Response

from boneseg.errors import BonesegError, OutputError
from boneseg.masks.formats import DOCUMENT_FORMATS
from boneseg.server.errors import ConflictError, page_message
from boneseg.server.light_box import LightBox
from boneseg.server.routes.dependencies import Box
from boneseg.server.routes.masks import check_form, export_arguments, exported
from boneseg.server.routes.responses import attachment, file_response
from boneseg.server.storage.entry import Entry
from boneseg.server.workers.tasks import ExportEntry

router = APIRouter(prefix="/api/export", tags=["masks"])

NOT_EXPORTED = "not-exported.txt"


@router.get("", response_class=Response)
async def export(box: Box, form: str = "mask") -> Response:
    """Every accepted mask in a format of `segment --format`, as a ZIP archive.

    Files are named as by `segment`, with a hash where a film's own name identifies the patient. A
    film that cannot be exported is named with the reason in not-exported.txt; the header
    Boneseg-Failed counts them.
    """
    check_form(form)
    films = await asyncio.to_thread(box.library.accepted)
    if not films:
        raise ConflictError("no mask is accepted yet; accept some, then export them")
    path = box.spooled(".zip")
    try:
        with zipfile.ZipFile(path, "x", zipfile.ZIP_DEFLATED) as archive:
            failed = await _write(box, form, films, archive)
        headers = attachment(f"accepted-{form}.zip") | {"Boneseg-Failed": str(failed)}
        return await asyncio.to_thread(file_response, path, "application/zip", headers)
    except OSError as error:
        reason = f"cannot be written ({error.strerror})"
        raise OutputError(f"the archive {reason}; free space in the data folder") from None
    finally:
        await asyncio.to_thread(path.unlink, missing_ok=True)  # the open file is sent


async def _write(box: LightBox, form: str, films: list[Entry], archive: zipfile.ZipFile) -> int:
    """Write films into an archive; the number of those that failed."""
    entries, failures = [], []
    for film in films:
        try:
            if form in DOCUMENT_FORMATS:
                entries.append(await box.run(ExportEntry(*await export_arguments(box, film, form))))
            else:
                name, content = await exported(box, film, form)
                await asyncio.to_thread(archive.writestr, name, content)
        except BonesegError as error:
            failures.append(page_message(error))
    if entries:
        await asyncio.to_thread(_write_document, form, entries, archive, box.spooled())
    if failures:
        archive.writestr(NOT_EXPORTED, "\n".join(failures) + "\n")
    return len(failures)


def _write_document(
    form: str, entries: list[object], archive: zipfile.ZipFile, temporary: Path
) -> None:
    written = DOCUMENT_FORMATS[form]
    try:
        written.write_document(temporary, entries)
        archive.write(temporary, written.document)
    finally:
        temporary.unlink(missing_ok=True)
