"""The server: health, metrics, and the formats of downloads."""

from __future__ import annotations

from fastapi import APIRouter, Request
from fastapi.responses import PlainTextResponse

import boneseg
from boneseg._util.extras import is_installed
from boneseg.masks.formats import FORMATS
from boneseg.server.routes.dependencies import Box
from boneseg.server.routes.prometheus import metrics_text

router = APIRouter(tags=["server"])


@router.get("/livez", response_class=PlainTextResponse)
def alive() -> str:
    """Whether the server responds; without a token, for probes."""
    return "ok"


@router.get("/readyz", response_class=PlainTextResponse)
def ready(box: Box) -> PlainTextResponse:
    """Whether a worker is there to segment films, status 503 if not; without a token."""
    if box.jobs.ready:
        return PlainTextResponse("ok")
    return PlainTextResponse("no worker is running", 503)


@router.get("/api/health", response_model=None)
def health(request: Request, box: Box) -> dict[str, object]:
    """Health of the server, and the state that the page polls: versions, queue, training."""
    run, card = box.retraining.run, box.model.card
    return {
        "ok": True,
        "boneseg": boneseg.__version__,
        "folder": box.library.name if box.keeps else None,
        "version": box.library.version,
        "waiting": box.jobs.waiting,
        "deaths": box.jobs.deaths,
        "upload_bytes": request.app.state.max_bytes,
        "model": {
            "name": box.model_name,
            "digest": box.digest,
            "threshold": card.threshold,
            "bones": list(card.bones.names) if card.bones else [],
        },
        "api_model": box.api.card.card_sha256[:12],
        "training": run.state if run is not None else None,
    }


@router.get("/api/formats")
def formats() -> list[dict[str, str | bool]]:
    """The formats of downloads: name, as in `form`, label, and whether only DICOM films have it."""
    return [
        {"name": name, "label": form.label, "dicom": form.of_dicom}
        for name, form in FORMATS.items()
        if form.library is None or is_installed(form.library)
    ]


@router.get("/metrics", response_class=PlainTextResponse)
def metrics(request: Request, box: Box) -> str:
    """Counters and gauges for Prometheus."""
    return metrics_text(box, request.app.state.counts)
