"""A case hides a name that identifies the patient, and reads its own mask of a file of several."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from boneseg.dataset.case import Case, without_name
from boneseg.errors import MaskError
from boneseg.masks.formats.png import write_mask


def test_names_that_identify_the_patient_are_replaced_in_messages(tmp_path: Path) -> None:
    case = Case("film-0123", tmp_path / "DOE_JOHN.dcm", tmp_path / "doe_john_mask.png")
    assert case.image_name == str(tmp_path / "film-0123.dcm")
    assert "doe" not in case.mask_name.lower()
    assert case.hide("Doe_John.dcm: is damaged") == "film-0123.dcm: is damaged"
    with pytest.raises(MaskError) as refusal:
        case.read_mask((60, 80))
    assert "doe" not in str(refusal.value).lower()


def test_other_names_are_unchanged(tmp_path: Path) -> None:
    case = Case("knee", tmp_path / "knee.png", tmp_path / "coco.json", film="knee.png")
    assert case.hide("knee: is damaged") == "knee: is damaged"
    assert case.mask_name == f"{tmp_path / 'coco.json'}: knee.png"


def test_a_mask_is_read_on_the_grid_of_its_film(tmp_path: Path) -> None:
    mask = np.zeros((60, 80), bool)
    mask[10:30, 5:9] = True
    write_mask(tmp_path / "knee.png", mask)
    case = Case("knee", tmp_path / "knee.png", tmp_path / "knee.png")
    assert np.array_equal(case.read_mask((60, 80)), mask)
    assert case.cut_off((60, 80)) == 0
    with pytest.raises(MaskError, match="60 x 80 pixels but its film is 80 x 60"):
        case.read_mask((80, 60))


def test_a_name_is_replaced_with_and_without_the_ending_of_a_film() -> None:
    assert without_name("a (b)_mask.png", Path("a (b)_image.png"), "film-1") == "film-1_mask.png"
