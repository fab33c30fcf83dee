"""The report of a comparison: a self-contained page."""

from __future__ import annotations

from pathlib import Path

import pytest

from boneseg.errors import OutputError
from boneseg.experiments.compare_result import Comparison, Row
from boneseg.experiments.comparison_report import write_compare_report


def row(recipe: str, dice: float, p: float | None) -> Row:
    return Row(
        recipe=recipe,
        dice=dice,
        dice_ci95=(dice - 0.02, dice + 0.02),
        hd95_px=3.0,
        seconds=60.0,
        parameters=1000,
        restarts=0,
        failed_folds=0,
        p_dice=p,
        p_hd95=p,
        seconds_to_first=None if p is None else 30.0,
        parts={"hand": dice},
    )


FOUND = Comparison(12, 6, (row("default", 0.9, None), row("<b>mine</b>", 0.85, 0.031)))


def test_every_recipe_has_a_row_with_its_figures(tmp_path: Path) -> None:
    write_compare_report(tmp_path / "report.html", FOUND)
    page = (tmp_path / "report.html").read_text()
    for text in ("default", "0.9000", "0.8500", "0.031", "hand"):
        assert text in page
    assert "<b>mine</b>" not in page and "&lt;b&gt;mine" in page
    assert "<script" not in page and "http" not in page.replace("http-equiv", "")


def test_a_page_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="cannot be written"):
        write_compare_report(tmp_path / "missing" / "report.html", FOUND)
