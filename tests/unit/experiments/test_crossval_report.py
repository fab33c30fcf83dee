"""The report of a cross-validation."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from boneseg.experiments.crossval_report import write_crossval_report
from boneseg.experiments.crossval_result import CrossValidation


def test_the_report_shows_folds_and_worst_films(done: CrossValidation, tmp_path: Path) -> None:
    write_crossval_report(tmp_path / "report.html", done)
    page = (tmp_path / "report.html").read_text()
    assert all(f"fold {number}" in page for number in (1, 2, 3))
    assert page.count('class="case"') == 10
    assert all(f"<tr><th>{name}</th>" in page for name in ("IoU", "HD95, px", "NSD"))
    assert "http" not in page.replace("http-equiv", "")


def test_the_report_says_what_trust_is_of_and_why_there_is_none(
    done: CrossValidation, tmp_path: Path
) -> None:
    def page(result: CrossValidation) -> str:
        write_crossval_report(tmp_path / "report.html", result)
        return (tmp_path / "report.html").read_text()

    assert "single model with mirroring, out of fold" in page(done)
    assert "too few films, or no variation" in page(replace(done, trust=None))
    blind = tuple(replace(fold, trust=(None,) * len(fold.cases)) for fold in done.folds)
    alone = page(replace(done, trust=None, folds=blind))
    assert "not available: trained without mirroring" in alone
    assert "too few films" not in alone
