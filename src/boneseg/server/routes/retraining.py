"""What a page or a program may ask of retraining."""

from __future__ import annotations

import asyncio
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import Response
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from boneseg.server.errors import BadRequestError, ConflictError
from boneseg.server.light_box import LightBox
from boneseg.server.retraining.supervisor import FEWEST
from boneseg.server.routes.http import JSON, file_answer, take_json

router = APIRouter(prefix="/api/train", tags=["training"])


class Wish(BaseModel):
    """Options of a retraining."""

    model_config = ConfigDict(extra="forbid", strict=True)

    minutes: float = Field(10, gt=0, le=24 * 60, description="Training time in minutes.")
    settings: list[str] = Field(
        [], max_length=50, description="Settings as for `boneseg train --set`: section.key=value."
    )


@router.get("")
def training(request: Request) -> dict[str, Any]:
    """The last run, the number of accepted films, and the number required."""
    box = _box(request)
    run = box.retraining.run
    return {
        "accepted": len(box.library.accepted()),
        "needed": FEWEST,
        "run": run.to_json() if run is not None else None,
    }


_WISH_BODY = {
    "requestBody": {"required": True, "content": {JSON: {"schema": Wish.model_json_schema()}}}
}


@router.post("", status_code=202, openapi_extra=_WISH_BODY)
async def start(request: Request) -> dict[str, Any]:
    """Retrain the current model on the accepted films."""
    box = _box(request)
    document = await take_json(request)
    try:
        wish = Wish.model_validate(document)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(["body", *map(str, first["loc"])])
        raise BadRequestError(f"{where}: {first['msg']}") from None
    if not box.keeps:
        raise ConflictError("no folder to train on; start with boneseg serve --data DIR")
    started = box.retraining.start
    run = await asyncio.to_thread(started, box.model.path, wish.minutes, wish.settings)
    return run.to_json()


@router.post("/stop")
def stop(request: Request) -> dict[str, Any]:
    """Stop the run; the current model stays in use."""
    return _box(request).retraining.stop().to_json()


@router.post("/{number}/use")
def use(request: Request, number: int) -> dict[str, Any]:
    """Switch to the model of a finished run."""
    box = _box(request)
    run = box.retraining.offered(number)
    box.use(run)
    return run.to_json()


@router.get("/{number}/report", response_class=Response)
def report(request: Request, number: int) -> Response:
    """The report of a finished run: HTML, as `boneseg train` writes it."""
    run = _box(request).retraining.offered(number)
    headers = {"Content-Disposition": f'attachment; filename="report-{number}.html"'}
    return file_answer(run.folder / "report.html", "text/html; charset=utf-8", headers)


def _box(request: Request) -> LightBox:
    box: LightBox = request.app.state.box
    return box
