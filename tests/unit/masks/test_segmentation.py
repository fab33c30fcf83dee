"""The input of all mask writers."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from tests.support.readings import MASK, card, picture, reading


def test_a_document_names_the_film_by_its_file_by_default(tmp_path: Path) -> None:
    found = reading(picture(tmp_path / "knee.png"), MASK)
    assert found.title == "knee.png"
    assert replace(found, called="left/knee.png").title == "left/knee.png"


def test_it_says_which_model_found_the_bones(tmp_path: Path) -> None:
    model = card(threshold=0.4)
    found = reading(picture(tmp_path / "knee.png"), MASK, model)
    assert found.model is not None
    assert (found.model.sha256, found.model.threshold) == (model.card_sha256, 0.4)
    assert reading(tmp_path / "knee.png", MASK).model is None  # drawn by a person
