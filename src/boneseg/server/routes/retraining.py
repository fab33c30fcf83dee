"""Retraining: start, follow and stop a run."""

from __future__ import annotations

import asyncio

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from boneseg._util.files import same_place
from boneseg.server.errors import ConflictError, page_message
from boneseg.server.light_box import LightBox
from boneseg.server.retraining.records import Run
from boneseg.server.retraining.supervisor import FEWEST_FILMS
from boneseg.server.routes.dependencies import Box, validated
from boneseg.server.routes.media_types import JSON
from boneseg.server.routes.responses import file_response

router = APIRouter(prefix="/api/train", tags=["training"])


class Options(BaseModel):
    """Options of a retraining."""

    model_config = ConfigDict(extra="forbid", strict=True)

    minutes: float = Field(10, gt=0, le=24 * 60, description="Training time in minutes.")
    settings: list[str] = Field(
        [], max_length=50, description="Settings as for `boneseg train --set`: section.key=value."
    )


_OPTIONS_BODY = {
    "requestBody": {"required": True, "content": {JSON: {"schema": Options.model_json_schema()}}}
}


@router.get("", response_model=None)
def training(box: Box) -> dict[str, object]:
    """The last run, the number of accepted films, and the number required.

    `drawn`: accepted films whose mask a person drew or corrected. `outcome` of a run: whether its
    model is better, worse, unclear (no significant difference), or unknown (no figure).
    """
    run, accepted = box.retraining.run, box.library.accepted()
    return {
        "accepted": len(accepted),
        "drawn": sum(map(box.library.is_drawn, accepted)),
        "needed": FEWEST_FILMS,
        "run": _as_json(run) | {"used": _is_used(box, run)} if run is not None else None,
    }


@router.post("", status_code=202, openapi_extra=_OPTIONS_BODY, response_model=None)
async def start(request: Request, box: Box) -> dict[str, object]:
    """Retrain the current model on the accepted films."""
    options = await validated(request, Options)
    if not box.keeps:
        raise ConflictError("no films to train on: this light box has no data folder")
    begin = box.retraining.start
    return _as_json(
        await asyncio.to_thread(begin, box.model.path, options.minutes, options.settings)
    )


@router.post("/stop", response_model=None)
def stop(box: Box) -> dict[str, object]:
    """Stop the run; the current model stays in use."""
    return _as_json(box.retraining.stop())


@router.get("/{number}/report", response_class=Response)
def report(box: Box, number: int) -> Response:
    """The report of a finished run: HTML, as `boneseg train` writes it."""
    run = box.retraining.finished(number)
    path = box.retraining.runs.folder(run) / "report.html"
    headers = {"Content-Disposition": f'attachment; filename="report-{number}.html"'}
    return file_response(path, "text/html; charset=utf-8", headers)


def _is_used(box: LightBox, run: Run) -> bool:
    """Whether the page has switched to the model of a run."""
    return same_place(box.retraining.runs.bundle(run), box.model.path)


def _as_json(run: Run) -> dict[str, object]:
    error = page_message(run.error) if run.error else None
    shown = run.model_dump(exclude={"version", "finished"})
    return shown | {"outcome": run.outcome, "error": error}
