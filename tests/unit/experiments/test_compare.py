"""Recipes side by side: the same folds for all, and differences judged film by film."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from boneseg.dataset.open import Dataset, open_dataset
from boneseg.errors import UsageError
from boneseg.evaluation.statistics import p_words, paired_p, sampling_units
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


def test_recipes_share_their_folds_and_are_set_against_the_first(
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


def test_two_files_of_one_name_are_told(phantoms: Dataset, tmp_path: Path) -> None:
    files = [tmp_path / run / "best.toml" for run in ("a", "b")]
    for file in files:
        file.parent.mkdir()
        file.write_text(load_recipe("fast").to_toml())
    with pytest.raises(UsageError, match=f"{files[0]} and {files[1]} have the same name"):
        compare_recipes(phantoms, list(map(str, files)), tmp_path / "x")


def test_the_p_value_tells_a_difference_from_chance() -> None:
    rng = np.random.default_rng(0)
    base = rng.uniform(0.8, 0.9, 40)
    assert paired_p(base + 0.02 + rng.normal(0, 0.01, 40), base) < 0.001
    assert paired_p(base + 0.02, base) < 0.001  # by as much on every film
    chances = [paired_p(base + rng.normal(0, 0.02, 40), base, 500) for _ in range(200)]
    assert 0.01 < np.mean(np.array(chances) < 0.05) < 0.11


@pytest.mark.parametrize("films", [3, 5, 8, 15, 20])
def test_of_few_films_chance_alone_passes_no_more_often_than_it_says(films: int) -> None:
    rng = np.random.default_rng(films)
    draws = rng.normal(0, 0.02, (600, films)) * rng.choice([1, 4], (600, 1))
    base = np.zeros(films)
    chances = np.array([paired_p(draw, base, 400) for draw in draws])
    assert np.mean(chances < 0.05) < 0.07
    assert np.mean(chances < 0.2) > 0.1 or films < 5
    assert chances.min() >= 2 / 2**films


@pytest.mark.parametrize("patients", [6, 15, 30])
def test_films_of_one_patient_count_as_what_one_patient_says(patients: int) -> None:
    rng = np.random.default_rng(patients)
    groups = [f"patient {i // 4}" for i in range(4 * patients)]
    zero = np.zeros(len(groups))
    draws = [np.repeat(rng.normal(0, 0.02, patients), 4) for _ in range(200)]
    known = [paired_p(draw, zero, 300, groups) for draw in draws]
    unknown = [paired_p(draw, zero, 300) for draw in draws]
    assert np.mean(np.array(known) < 0.05) < 0.1
    assert np.mean(np.array(unknown) < 0.05) > 0.2


def test_what_chance_draws_from_is_counted() -> None:
    assert sampling_units(["a", "a", None, "b", None]) == (4, "patient")
    assert sampling_units(["a", "b", None]) == (3, "film")
    assert sampling_units([None] * 5) == (5, "film")


def test_every_sign_of_three_films_is_gone_through() -> None:
    assert paired_p([0.9, 0.8, 0.7], [0.1, 0.1, 0.1]) == 2 / 8
    assert paired_p([0.3, 0.3, 0.0], [0.0, 0.0, 0.1]) == 4 / 8


def test_a_small_p_is_not_written_as_0() -> None:
    assert [p_words(p) for p in (None, 0.25, 0.001, 0.0001)] == ["–", "0.250", "0.001", "< 0.001"]


@settings(max_examples=20)
@given(st.lists(st.floats(0, 1), min_size=2, max_size=30))
def test_a_recipe_does_not_differ_from_itself(scores: list[float]) -> None:
    assert paired_p(scores, scores, 200) == 1
