"""Comparison of recipes: the same folds for all, and differences tested film by film."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from boneseg.dataset.open import Dataset, open_dataset
from boneseg.errors import UsageError
from boneseg.experiments.compare import compare_recipes
from boneseg.recipes.builtin import load_recipe
from boneseg.simulate import simulate

SMALL = (
    *("prepare.height=64", "prepare.width=64", "network.width=4", "network.levels=3"),
    *("run.precision=fp32", "run.batch=4", "run.epochs=3"),
)


@pytest.fixture(scope="module")
def phantoms(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    folder = tmp_path_factory.mktemp("phantoms")
    simulate(folder, 12, seed=9, size=(72, 72))
    return open_dataset(folder)


@pytest.mark.slow
def test_recipes_share_their_folds_and_are_compared_with_the_first(
    phantoms: Dataset, tmp_path: Path
) -> None:
    out = tmp_path / "trials"
    table = compare_recipes(phantoms, ["default", "fast"], out, folds=2, settings=SMALL)
    assert [row.recipe for row in table.rows] == ["default", "fast"]
    assert table.films == table.units == 12
    assert (out / "default" / "folds.csv").read_text() == (out / "fast" / "folds.csv").read_text()
    assert table.rows[0].p_dice is None
    assert table.rows[1].p_dice is not None
    assert 0 < table.rows[1].p_dice <= 1
    document = json.loads((out / "compare.json").read_text())
    found = json.loads((out / "fast" / "crossval.json").read_text())
    assert document["rows"][1]["dice"] == pytest.approx(found["mean"]["dice"])
    with (out / "compare.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row.pop("recipe") for row in rows] == ["default", "fast"]
    assert all(float(cell or 0) >= 0 for row in rows for cell in row.values())
    assert float(rows[1]["dice_ci95_low"]) == table.rows[1].dice_ci95[0]
    assert float(rows[1]["dice knee"]) == table.rows[1].parts["knee"]
    again = compare_recipes(
        phantoms, ["default", "fast"], out, folds=2, settings=SMALL, resume=True
    )
    assert again == table
    assert "fast" in again.table()


def test_one_recipe_is_no_comparison(phantoms: Dataset, tmp_path: Path) -> None:
    for names in (["default"], ["default", "default"]):
        with pytest.raises(UsageError, match="at least two recipes"):
            compare_recipes(phantoms, names, tmp_path / "x")


def test_two_files_of_one_name_are_reported(phantoms: Dataset, tmp_path: Path) -> None:
    files = [tmp_path / run / "best.toml" for run in ("a", "b")]
    for file in files:
        file.parent.mkdir()
        file.write_text(load_recipe("fast").to_toml())
    with pytest.raises(UsageError, match=f"{files[0]} and {files[1]} have the same name"):
        compare_recipes(phantoms, list(map(str, files)), tmp_path / "x")
