"""Tables of all films: rows by film, and no table with other columns."""

from __future__ import annotations

from pathlib import Path

import pytest

from boneseg.masks.formats.tables import VERDICT, read_rows, verdict_cells, write_rows
from tests.support.verdicts import REVIEW


def test_rows_are_read_by_film(tmp_path: Path) -> None:
    path, rows = tmp_path / "a.csv", [[["=1.png", 1], ["=1.png", 2]], [["b.png", 3]]]
    write_rows(path, ("film", "x"), rows)
    expected = {"=1.png": [["=1.png", "1"], ["=1.png", "2"]], "b.png": [["b.png", "3"]]}
    assert read_rows(path, ("film", "x")) == expected
    with pytest.raises(ValueError, match="other columns"):
        read_rows(path, ("film", "y"))


def test_a_mask_that_no_model_found_has_no_verdict() -> None:
    assert verdict_cells(None) == [None] * len(VERDICT)
    assert verdict_cells(REVIEW)[-1] == REVIEW.rounded().trust
