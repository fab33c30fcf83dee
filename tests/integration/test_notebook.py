"""The notebook runs from its first cell to its last, and results show themselves in it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

nbformat = pytest.importorskip("nbformat", reason="nbformat is missing: make setup")

from boneseg.dataset.open import open_dataset  # noqa: E402
from boneseg.evaluation.evaluate import evaluate_predictions  # noqa: E402
from boneseg.evaluation.tables import summaries_table  # noqa: E402
from boneseg.inference.finding import Finding  # noqa: E402
from boneseg.radiograph.film import Radiograph  # noqa: E402
from boneseg.simulate import simulate  # noqa: E402
from scripts import make_notebook as made  # noqa: E402
from tests.support import ROOT  # noqa: E402

# The same cells, on fewer films, for fewer epochs and in fewer folds.
SHORTER = {
    'here / "films", 60': 'here / "films", 15',
    'here / "unseen", 20': 'here / "unseen", 5',
    "run.epochs=30": "run.epochs=3",
    "folds=5": "folds=2",
}


def code_cells(notebook: nbformat.NotebookNode) -> list[nbformat.NotebookNode]:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def test_the_notebook_is_the_script_s_and_keeps_its_outputs() -> None:
    kept = nbformat.read(ROOT / "notebooks" / "demo.ipynb", as_version=4)
    assert [cell.source for cell in kept.cells] == [cell.source for cell in made.notebook().cells]
    assert all(cell.outputs for cell in code_cells(kept))


@pytest.mark.slow
def test_every_cell_runs_and_runs_again(tmp_path: Path) -> None:
    for place in ("films", "unseen", "run", "folds"):  # as if it had been run here before
        simulate(tmp_path / place, 2, size=(64, 64))
    ran = made.executed(tmp_path, SHORTER)
    shown = [output for cell in code_cells(ran) for output in cell.outputs]
    assert all(output.output_type == "execute_result" for output in shown)
    pages = [output.data["text/html"] for output in shown if "text/html" in output.data]
    assert len(pages) == 6
    assert sum("<img src=" in page for page in pages) == 3
    assert any("fold 2" in page and "Films by HD95" in page for page in pages)
    assert all(len(output.data["text/plain"]) < 200 for output in shown)


def test_a_dataset_shows_some_of_its_films_with_their_masks(tmp_path: Path) -> None:
    folder = tmp_path / "<b>knees"
    simulate(folder, 9, seed=1, size=(64, 64))
    (folder / "parts.csv").write_text(
        "".join(f"phantom_{seed:06},{'hand' if seed < 4 else 'leg'}\n" for seed in range(1, 10))
    )
    dataset = open_dataset(folder)
    assert repr(dataset) == f"Dataset({folder}: 9 films with a mask)"
    page = dataset._repr_html_()
    assert "&lt;b&gt;knees" in page
    assert "<th>hand</th><td>3</td>" in page
    assert "<th>leg</th><td>6</td>" in page
    assert page.count("<img src=") == 4
    dataset.cases[0].image.write_text("no picture")
    assert dataset._repr_html_().count("<img src=") == 3


def test_a_finding_shows_its_film_and_a_name_is_no_markup() -> None:
    pixels = np.zeros((300, 900), np.float32)
    mask = pixels > 1
    mask[100:200, 100:400] = True
    page = Finding(pixels, mask, pixels)._repr_html_()
    assert "bone: 11.1% of the film; not a radiograph; unsuitable (trust" in page
    assert "300 × 900 px" in Radiograph(pixels, None, "unknown", Path("x.png"))._repr_html_()
    summary = evaluate_predictions([("a", mask, mask, None)])
    assert "<b>" not in summaries_table([("<b>hand</b>", summary)])
