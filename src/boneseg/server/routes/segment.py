"""Segment one film: a film in, its mask out."""

from __future__ import annotations

import base64
import time

from fastapi import APIRouter, Request, Response

from boneseg.masks.formats import dicom_seg
from boneseg.server.routes.dependencies import FILE_BODY, Box, uploaded_film
from boneseg.server.routes.masks import check_installed
from boneseg.server.routes.media_types import DICOM, JSON, PNG, accepted_type
from boneseg.server.routes.responses import Json, as_json
from boneseg.server.workers.bones import Bone
from boneseg.server.workers.tasks import NameUpload, SegmentUpload

router = APIRouter(tags=["bones"])


@router.post(
    "/api/segment",
    openapi_extra=FILE_BODY,
    response_class=Response,
    responses={
        200: {"content": {PNG: {}, JSON: {}, DICOM: {}}, "description": "The mask, by Accept."},
        413: {"description": "The upload is too large."},
        422: {"description": "The file is not a readable radiograph; the error gives the reason."},
        503: {"description": "The queue is full; retry after Retry-After seconds."},
    },
)
async def segment(request: Request, box: Box, bones: bool = False) -> Response:
    """Segment one film: multipart `file` in; PNG, JSON or DICOM SEG out, by Accept.

    PNG: the mask, 0/255, on the film's own grid; the header Boneseg-Facts holds the rest as JSON.
    JSON: area, spacing, body part, projection, verdict, reason, trust, model, and the mask as
    base64 PNG in `mask_png`.
    application/dicom: a Segmentation that references the film, which must be DICOM itself.

    With `bones=true` the bones have names: in `bones` of the JSON the area and mask of each, in the
    Segmentation a segment for each; there is no PNG. 400 if the model does not name bones.
    """
    started = time.perf_counter()
    if bones:  # a PNG has one mask, without names
        wanted = accepted_type(request, (JSON, DICOM), "with bones=true")
    else:
        wanted = accepted_type(request, (PNG, JSON, DICOM))
    if wanted == DICOM:
        check_installed(dicom_seg.LIBRARY, "dicom-seg")
    async with uploaded_film(request, box) as (name, path):
        form = "dicom-seg" if wanted == DICOM else "mask"
        named: list[Bone] = []
        if bones:
            found, content, named = await box.run(NameUpload(path, name, form))
        else:
            found, content = await box.run(SegmentUpload(path, name, form))
    request.app.state.counts.add_segmentation(time.perf_counter() - started)
    facts = found.model_dump(exclude={"version"})
    if wanted == JSON:
        encoded = base64.b64encode(content).decode()
        more = {"bones": named} if bones else {}
        return Json({"name": name, **facts, **more, "mask_png": encoded})
    return Response(content, media_type=wanted, headers={"Boneseg-Facts": as_json(facts)})
