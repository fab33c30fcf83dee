"""Write notebooks/demo.ipynb and run it: `python -m scripts.make_notebook`.

The notebook is made from the cells below, so that its text is reviewed as text; its outputs are
kept. A test runs it again.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path

import nbformat
from nbclient import NotebookClient

NOTEBOOK = Path(__file__).resolve().parent.parent / "notebooks" / "demo.ipynb"

CELLS = (
    """# boneseg in a page

From a folder of radiographs and masks to a model with reliable scores. The films here are phantoms,
simulated by boneseg with exact masks; replace `films` with your own folder of `images/` and
`masks/`, and omit the settings that make this fast.""",
    """from pathlib import Path
from tempfile import mkdtemp

import boneseg
from boneseg.simulate import simulate

here = Path(mkdtemp(prefix="demo-", dir="."))  # a new folder, however often you run this
simulate(here / "films", 60, size=(128, 128))
films = boneseg.open_dataset(here / "films")
len(films.cases)""",
    """boneseg.read_radiograph(films.cases[0].image)""",
    """## Train

A recipe contains all settings of a run. This one trains in about a minute on two cores.""",
    """recipe = boneseg.load_recipe("fast").with_settings(
    ["prepare.height=96", "prepare.width=96", "network.stem=2", "run.epochs=30"]
)
run = boneseg.train(films, recipe, here / "run")
run""",
    """## One film

The model is saved as a bundle: weights, threshold and preprocessing. It segments any film, without
PyTorch.""",
    """engine = boneseg.Engine(boneseg.load_bundle(run.save(here / "run" / "bundle").path))
simulate(here / "unseen", 20, seed=1000, size=(128, 128))
unseen = boneseg.open_dataset(here / "unseen")
engine.find(boneseg.read_radiograph(unseen.cases[0].image).pixels)""",
    """boneseg.evaluate_model(unseen, engine.segment)""",
    """## Five folds

Every film is predicted once, by the model that was not trained on it. The table lists the folds,
the curves show their training, the histogram the 95 % Hausdorff distances of the films.""",
    """result = boneseg.cross_validate(films, recipe, here / "folds", folds=5)
result""",
    """The five models form an ensemble. Trust is how good the mask is expected to be.""",
    """ensemble = boneseg.Engine(result.bundle)
found = ensemble.find(boneseg.read_radiograph(unseen.cases[3].image).pixels)
found""",
    """worst = min(result.summary.cases, key=lambda case: case.scores.dice)
worst.name, round(worst.scores.dice, 4), round(worst.scores.hd95_px, 2)""",
)


def notebook() -> nbformat.NotebookNode:
    """The notebook without outputs: a cell that opens with a heading or a sentence is text."""
    made = nbformat.v4.new_notebook()
    for index, cell in enumerate(CELLS):
        is_text = cell.startswith("#") or " models form an ensemble" in cell
        make = nbformat.v4.new_markdown_cell if is_text else nbformat.v4.new_code_cell
        made.cells.append(make(cell, id=f"cell-{index}"))
    made.metadata["kernelspec"] = {
        "name": "python3",
        "display_name": "Python 3",
        "language": "python",
    }
    return made


def executed(folder: Path, shorter: Mapping[str, str] | None = None) -> nbformat.NotebookNode:
    """The notebook, run from its first cell to its last in a folder. Raises CellExecutionError.

    shorter: texts of its cells that are replaced, for a run that takes less time.
    """
    made = notebook()
    for text, other in (shorter or {}).items():
        (cell,) = (cell for cell in made.cells if text in cell.source)
        cell.source = cell.source.replace(text, other)
    client = NotebookClient(made, timeout=1200, resources={"metadata": {"path": str(folder)}})
    client.execute()
    for cell in made.cells:
        cell.metadata.pop("execution", None)  # when it ran: another diff each time
    return made


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        nbformat.write(executed(Path(folder)), NOTEBOOK)
