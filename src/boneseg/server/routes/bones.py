"""The bones on a film of the data folder, by name."""

from __future__ import annotations

from fastapi import APIRouter, Response

from boneseg.server.routes.dependencies import Box, Film
from boneseg.server.routes.media_types import JSON
from boneseg.server.workers.tasks import NameBones

router = APIRouter(tags=["bones"])


@router.get(
    "/api/films/{film}/bones", response_class=Response, responses={200: {"content": {JSON: {}}}}
)
async def bones(box: Box, entry: Film) -> Response:
    """The bones that the model names on a film: name, area, colour and outlines of each.

    They are within the suggested mask, and overlap where bones do. 400 if the model names none.
    """
    return Response(await box.run(NameBones(entry.image, entry.name)), media_type=JSON)
