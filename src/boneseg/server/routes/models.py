"""The models: which are there, and which the page and the API use."""

from __future__ import annotations

import asyncio
from dataclasses import asdict
from typing import Annotated

from fastapi import APIRouter, Query

from boneseg.server.light_box import LightBox, Purpose
from boneseg.server.retraining.models import Model
from boneseg.server.routes.dependencies import Box

router = APIRouter(prefix="/api/models", tags=["models"])


@router.get("", response_model=None)
def models(box: Box) -> list[dict[str, object]]:
    """The bundled model and every trained one, newest first: date, films, Dice, and where used.

    `dice` and `before`, of the model that it was trained from, are on `scoring` held-out films;
    null where the models were not compared.
    """
    return [_as_json(box, model) for model in box.models.all()]


@router.post("/{model}/use", response_model=None)
async def use(
    box: Box,
    model: str,
    purpose: Annotated[
        Purpose, Query(alias="for", description="The page, or /api/segment.")
    ] = "page",
) -> dict[str, object]:
    """Switch the page or the API to a model, now and for later starts."""
    chosen = await asyncio.to_thread(box.models.find, model)
    await asyncio.to_thread(box.use, chosen, purpose)
    return _as_json(box, chosen)


def _as_json(box: LightBox, model: Model) -> dict[str, object]:
    used = {"page": model.is_at(box.model.path), "api": model.is_at(box.api.path)}
    return {name: value for name, value in asdict(model).items() if name != "path"} | used
