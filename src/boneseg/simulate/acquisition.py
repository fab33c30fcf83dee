"""Taking the film: an exposure that suits the body, objects in the beam, and framing."""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from boneseg.simulate.clutter import add_objects
from boneseg.simulate.film import Film, View
from boneseg.simulate.framing import frame_film
from boneseg.simulate.projector import Exposure, Paths, transmit
from boneseg.simulate.visibility import Views, hidden_bone, views_of

Rng = np.random.Generator

_WITH_LUNGS = ("chest", "trunk", "whole body", "shoulder", "neck")  # regions


def take_film(
    rng: Rng,
    paths: Paths,
    pitch: float,
    part: str,
    projection: str = "",
    bones: Mapping[str, NDArray[np.bool_]] | None = None,
) -> Film:
    """Expose these path lengths, with clutter, as a film of the left or the right side."""
    paths = add_objects(rng, paths, pitch, part)
    exposure = expose_for(rng, paths, part)
    views = views_of(paths, exposure, rng)
    names, masks = list(bones or {}), [paths.mask, *(bones or {}).values()]
    labels = np.zeros(paths.mask.shape, np.uint64)  # a bit for each mask: framed together
    for bit, one in enumerate(masks):
        labels |= one.astype(np.uint64) << np.uint64(bit)
    same = deepcopy(rng)  # the other views are framed by the same random numbers
    pixels, labels = frame_film(rng, views.film, labels)
    others = (frame_film(deepcopy(same), one, labels)[0] for one in (views.clean, views.boneless))
    left = bool(rng.random() < 0.5)
    step = -1 if left else 1
    views = Views(*(one[:, ::step] for one in (pixels, *others)))
    labels = labels[:, ::step]
    mask, *each = (labels >> np.uint64(bit) & np.uint64(1) > 0 for bit in range(len(masks)))
    hidden = hidden_bone(views, mask)
    view = View(0.0, "L" if left else "R", pitch, exposure, projection)
    found = {name: one for name, one in zip(names, each, strict=True) if one.any()}
    return Film(np.ascontiguousarray(views.film), mask, part, view, hidden, found)


def expose_for(rng: Rng, paths: Paths, part: str) -> Exposure:
    """An exposure suited to the thickness: harder and longer for thicker bodies."""
    flesh = paths.muscle + paths.fat
    body = flesh > 5.0
    thick = float(np.median(flesh[body])) if body.any() else 50.0
    kvp = float(np.clip(48 + 0.25 * thick + rng.normal(0, 8), 45, 120))
    drawn = replace(Exposure.draw(rng), kvp=kvp)
    shadow = paths if not body.any() else paths.where(body)
    through = float(np.median(transmit(shadow, kvp)))
    least = 1000 if rng.random() < 0.05 else 5000
    behind = float(np.exp(rng.uniform(np.log(least), np.log(200_000))))  # photons per pixel
    # Detector noise is some percent of the signal behind the body, not of the beam.
    own = drawn.electronic * through * float(rng.uniform(1, 5))
    drawn = replace(drawn, photons=behind / max(through, 1e-4), electronic=own)
    if part == "full leg" and rng.random() < 0.6:
        return _compensated(rng, drawn)
    if thick < 90:
        return _overexposed(rng, drawn) if rng.random() < 0.15 else drawn
    # A grid before the detector takes most of the scatter of a trunk. Such films are
    # processed most, to show the lungs. Old, unprocessed films lack that latitude: everything
    # beside the central bones is black.
    scatter = drawn.scatter * float(rng.uniform(0.15, 0.6))
    if part == "skull" and rng.random() < 0.6:  # the profile of the face is shown too
        return replace(
            drawn,
            scatter=scatter,
            black=float(rng.uniform(-0.15, 0.08)),
            white=float(rng.uniform(0.75, 1.2)),
            gamma=float(rng.uniform(0.5, 1.1)),
            steepness=float(rng.uniform(1, 4)),
            level=max(0.0, float(rng.uniform(-0.5, 0.6))),
        )
    if part not in _WITH_LUNGS and rng.random() < 0.4:
        return replace(
            drawn,
            scatter=scatter,
            black=float(rng.uniform(-0.1, 0.35)),
            white=float(rng.uniform(0.7, 1.3)),
            gamma=float(np.exp(rng.uniform(np.log(0.7), np.log(2.8)))),
            steepness=float(rng.uniform(1, 6)),
        )
    return replace(
        drawn,
        scatter=scatter,
        detail=drawn.detail + float(rng.uniform(0.4, 2.2)),
        black=float(rng.uniform(-0.15, 0.05)),
        gamma=float(rng.uniform(0.6, 1.1)),
        steepness=float(rng.uniform(1, 3)),
        level=max(0.0, float(rng.uniform(-0.8, 0.85))),
    )


def _compensated(rng: Rng, exposure: Exposure) -> Exposure:
    """A whole leg: filters and processing make the calf as bright as the hip, and show the skin."""
    return replace(
        exposure,
        black=float(rng.uniform(-0.15, 0.0)),
        white=float(rng.uniform(1.0, 1.6)),
        gamma=float(rng.uniform(0.4, 0.9)),
        steepness=float(rng.uniform(1, 2.5)),
        level=float(rng.uniform(0.3, 0.9)),
    )


def _overexposed(rng: Rng, exposure: Exposure) -> Exposure:
    """A limb on a dark film: soft tissue is black, and so are the thin sides of bones."""
    return replace(
        exposure,
        black=float(rng.uniform(0.15, 0.5)),
        white=float(rng.uniform(0.8, 1.2)),
        gamma=float(np.exp(rng.uniform(np.log(0.9), np.log(2.2)))),
        detail=float(rng.uniform(0.0, 0.6)),
    )
