"""The bones of a film as the page draws them, and as the API returns them."""

from __future__ import annotations

import base64
import io
from pathlib import Path

import numpy as np
from PIL import Image

from boneseg.inference.finding import Finding
from boneseg.masks.polygons import fill
from boneseg.radiograph.film import Radiograph
from boneseg.radiograph.read import read_radiograph
from boneseg.server.workers.bones import drawn_bones, encoded_bones
from tests.support.readings import MASK, dicom_film, picture

BAR = np.zeros_like(MASK)
BAR[5:50, 20:60] = True


def found(film: Radiograph) -> Finding:
    return Finding(np.zeros(MASK.shape, np.float32), MASK | BAR, film.grey, naming=lambda: {
        "femur": MASK, "hip bone": BAR,
    })  # fmt: skip


def test_outlines_fill_to_the_masks(tmp_path: Path) -> None:
    film = read_radiograph(picture(tmp_path / "knee.png"))
    femur, hip = drawn_bones(film, found(film))
    assert (femur["name"], femur["area_px"], femur["area_mm2"]) == ("femur", MASK.sum(), None)
    assert femur["colour"] != hip["colour"]
    for bone, mask in ((femur, MASK), (hip, BAR)):
        rings = bone["outlines"]
        assert isinstance(rings, list)
        assert (fill([np.array(ring) for ring in rings], MASK.shape) != mask).mean() < 0.01


def test_masks_are_png_and_areas_in_mm_where_the_spacing_is_known(tmp_path: Path) -> None:
    film = read_radiograph(dicom_film(tmp_path / "knee.dcm", ImagerPixelSpacing=[0.5, 0.2]))
    femur, _ = encoded_bones(film, found(film))
    mask = np.asarray(Image.open(io.BytesIO(base64.b64decode(str(femur["mask_png"]))))) > 0
    assert np.array_equal(mask, MASK)
    assert femur["area_mm2"] == round(0.1 * MASK.sum(), 2)
