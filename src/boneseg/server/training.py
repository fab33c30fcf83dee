"""What a page or a program may ask of retraining."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import FileResponse, Response
from pydantic import BaseModel, ConfigDict, Field

from boneseg.server.box import LightBox
from boneseg.server.refusals import ConflictError
from boneseg.server.retrain import FEWEST

router = APIRouter(prefix="/api/train", tags=["training"])


class Wish(BaseModel):
    """How to retrain."""

    model_config = ConfigDict(extra="forbid")

    minutes: float = Field(10, gt=0, le=24 * 60, description="Train as well as these allow.")
    settings: list[str] = Field(
        [], max_length=50, description="As those of `boneseg train --set`: section.key=value"
    )


@router.get("")
def training(request: Request) -> dict[str, Any]:
    """The last run, how many films are accepted, and how many are needed."""
    box = _box(request)
    run = box.retraining.run
    return {
        "accepted": len(box.library.accepted()),
        "needed": FEWEST,
        "run": run.to_json() if run is not None else None,
    }


@router.post("", status_code=202)
def start(request: Request, wish: Wish) -> dict[str, Any]:
    """Train the model of today further, on what is accepted now."""
    box = _box(request)
    if not box.keeps:
        raise ConflictError("no folder to train on; start with boneseg serve --data DIR")
    return box.retraining.start(box.model.path, wish.minutes, wish.settings).to_json()


@router.post("/stop")
def stop(request: Request) -> dict[str, Any]:
    """Give the run up; the model of today stays."""
    return _box(request).retraining.stop().to_json()


@router.post("/{number}/use")
def use(request: Request, number: int) -> dict[str, Any]:
    """Look at films with the model of a finished run from now on."""
    box = _box(request)
    run = box.retraining.offered(number)
    box.use(run)
    return run.to_json()


@router.get("/{number}/report", response_class=Response)
def report(request: Request, number: int) -> Response:
    """The report of a finished run: HTML, as `boneseg train` writes it."""
    run = _box(request).retraining.offered(number)
    headers = {"Content-Disposition": f'attachment; filename="report-{number}.html"'}
    return FileResponse(run.folder / "report.html", media_type="text/html", headers=headers)


def _box(request: Request) -> LightBox:
    box: LightBox = request.app.state.box
    return box
