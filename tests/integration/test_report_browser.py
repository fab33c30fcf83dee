"""Reports as a browser shows them: light, dark, on a phone and on paper."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from boneseg.dataset.open import open_dataset
from boneseg.experiments.compare import compared
from boneseg.experiments.comparison_report import write_compare_report
from boneseg.experiments.crossval import cross_validate
from boneseg.experiments.crossval_report import write_crossval_report
from boneseg.experiments.crossval_result import CrossValidation
from boneseg.recipes.builtin import load_recipe
from boneseg.simulate import simulate
from tests.support.browser import browse, picture
from tests.support.requirements import needs_browser

pytestmark = needs_browser

SMALL = (
    *("prepare.height=64", "prepare.width=64", "network.width=4", "network.levels=3"),
    *("run.precision=fp32", "run.batch=4", "run.epochs=8"),
)


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> CrossValidation:
    folder = tmp_path_factory.mktemp("report")
    simulate(folder / "films", 12, seed=9, size=(72, 72))
    recipe = load_recipe("default").with_settings(SMALL)
    return cross_validate(open_dataset(folder / "films"), recipe, folder / "run", folds=2)


@pytest.fixture(scope="module")
def page(result: CrossValidation) -> Path:
    path = result.out / "report.html"
    write_crossval_report(path, result)
    return path


def drawn(shot: np.ndarray) -> float:
    """The share of pixels that are not the page's ground."""
    ground = shot[2, 2]
    return float((np.abs(shot.astype(int) - ground).max(axis=2) > 12).mean())


def test_the_report_is_drawn_in_light_and_dark(page: Path, tmp_path: Path) -> None:
    whole = "--window-size=1000,2600"  # the curves are below the tables
    light = picture(page, tmp_path, whole)
    dark = picture(page, tmp_path, whole, "--blink-settings=preferredColorScheme=0")
    assert light[2, 2].min() > 230
    assert dark[2, 2].max() < 60
    for shot in (light, dark):
        assert drawn(shot) > 0.05
    # The curves are there, in the colour of lines.
    blue = np.abs(light.astype(int) - (0, 114, 178)).max(axis=2) < 30
    assert blue.sum() > 300


def measured(page: Path, folder: Path, length: str) -> int:
    """A length on a phone, in px, that an expression of the page's gives."""
    copy = folder / "measured.html"
    probe = f"<script>document.title={length}</script></body>"
    text = page.read_text(encoding="utf-8").replace("</body>", probe)
    # The page itself may run no script; its copy with a measuring tape in it may.
    copy.write_text(text.replace("default-src 'none'", "script-src 'unsafe-inline'"))
    shown = browse(copy, "--window-size=500,900", "--dump-dom")
    return int(shown.partition("<title>")[2].partition("<")[0])


def test_nothing_is_wider_than_a_phone(page: Path, tmp_path: Path) -> None:
    assert measured(page, tmp_path, "document.documentElement.scrollWidth") <= 500


def test_a_fold_is_one_line_on_a_phone(page: Path, tmp_path: Path) -> None:
    folds = "Math.max(...[...document.querySelector('table').rows].map(row => row.offsetHeight))"
    assert measured(page, tmp_path, folds) < 40  # px: its words are not broken into letters


def test_it_prints_to_paper(page: Path, tmp_path: Path) -> None:
    paper = tmp_path / "page.pdf"
    browse(page, f"--print-to-pdf={paper}")
    assert paper.read_bytes().startswith(b"%PDF")
    assert paper.stat().st_size > 20_000


def test_a_comparison_is_drawn_with_its_points_named(
    result: CrossValidation, tmp_path: Path
) -> None:
    path = tmp_path / "compare" / "report.html"
    path.parent.mkdir()
    table = compared(["default", "<b>again</b>"], [result, result])
    write_compare_report(path, table)
    text = path.read_text(encoding="utf-8")
    assert "&lt;b&gt;again" in text
    assert "<b>again" not in text
    assert text.count("ime to match") == 2  # the head of a column, and what it means
    shot = picture(path, tmp_path)
    assert drawn(shot) > 0.02
    blue = np.abs(shot.astype(int) - (0, 114, 178)).max(axis=2) < 60
    assert blue.sum() > 40
