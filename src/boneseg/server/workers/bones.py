"""The bones on a film by name, as the page draws them and the API returns them.

    drawn_bones(film, finding)          # [{"name": "femur", "area_px": 31055, ...}, ...]

Colours and outlines are for the page: outlines are rings of (x, y), px from the corner of the film,
those of holes included, so that they can be filled by the even-odd rule.
"""

from __future__ import annotations

import base64

import numpy as np

from boneseg.inference.finding import Finding
from boneseg.masks.polygons import outlines, rings
from boneseg.masks.terminology import colour_of
from boneseg.radiograph.film import Radiograph
from boneseg.server.encoding import png_mask

FINEST = 2000  # steps along the longer side of a film that outlines keep

Bone = dict[str, object]


def drawn_bones(film: Radiograph, finding: Finding) -> list[Bone]:
    """Name, areas, colour and outlines of each bone on a film."""
    tolerance = max(0.5, max(film.shape) / FINEST)
    return [
        facts
        | {
            "colour": "#{:02x}{:02x}{:02x}".format(*colour_of(name)),
            "outlines": [ring.round(1).tolist() for ring in rings(outlines(mask, tolerance))],
        }
        for (name, mask), facts in zip(finding.bones.items(), _areas(film, finding), strict=True)
    ]


def encoded_bones(film: Radiograph, finding: Finding) -> list[Bone]:
    """Name, areas and mask of each bone on a film; the mask is a base64 PNG."""
    return [
        facts | {"mask_png": base64.b64encode(png_mask(mask)).decode()}
        for mask, facts in zip(finding.bones.values(), _areas(film, finding), strict=True)
    ]


def _areas(film: Radiograph, finding: Finding) -> list[Bone]:
    areas = {name: int(np.count_nonzero(mask)) for name, mask in finding.bones.items()}
    return [
        {"name": name, "area_px": area, "area_mm2": film.area_mm2(area)}
        for name, area in areas.items()
    ]
