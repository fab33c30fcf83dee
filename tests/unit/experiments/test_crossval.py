"""Cross-validation: one out-of-fold prediction per film, resumed after a kill, an ensemble."""

from __future__ import annotations

import csv
import json
import os
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from boneseg.bundle.card import CardData
from boneseg.bundle.store import load_bundle, load_network
from boneseg.dataset.fingerprint import digest
from boneseg.dataset.open import Dataset, open_dataset
from boneseg.errors import DatasetError, TrainingError
from boneseg.evaluation.evaluate import evaluate_masks
from boneseg.experiments import crossval
from boneseg.experiments import fold as folds
from boneseg.experiments.crossval import cross_validate
from boneseg.experiments.crossval_report import write_crossval_report
from boneseg.experiments.crossval_result import CrossValidation
from boneseg.inference.engine import Engine
from boneseg.inference.temperature import scaled
from boneseg.masks.formats.png import read_probability
from boneseg.masks.read import read_mask
from boneseg.preprocessing import Preparation
from boneseg.radiograph.read import read_radiograph
from boneseg.training.history import Check
from tests.support.experiments import recipe


def test_every_film_is_predicted_once_by_a_model_that_never_saw_it(
    phantoms: Dataset, done: CrossValidation
) -> None:
    with (done.out / "folds.csv").open() as file:
        fold_of = {row["name"]: int(row["fold"]) for row in csv.DictReader(file)}
    assert fold_of.keys() == {case.name for case in phantoms.cases}
    case = phantoms.cases[0]
    bundle = load_bundle(done.out / f"fold-{fold_of[case.name]}" / "bundle")
    assert bundle.card.data.training + bundle.card.data.validation == 12
    assert len(bundle.card.data.seen) == 12
    assert digest(read_radiograph(case.image)) not in bundle.card.data.seen
    assert digest(read_radiograph(case.image)) in done.bundle.card.data.seen
    found = Engine(bundle).find(read_radiograph(case.image).pixels)
    kept = done.out / "out_of_fold" / f"{case.name}.png"
    assert np.abs(read_probability(kept) - found.probability).max() <= 1 / 65535
    assert (read_mask(kept.with_name(f"{case.name}_mask.png")) == found.mask).all()


@pytest.mark.slow
def test_folds_start_from_a_bundle(
    phantoms: Dataset, done: CrossValidation, tmp_path: Path
) -> None:
    knowing = load_bundle(done.out / "fold-1" / "bundle")
    slow = recipe("run.epochs=1", "optimiser.learning_rate=1e-6", "network.width=4")
    with pytest.raises(TrainingError, match="which would then not be held out"):
        cross_validate(phantoms, slow, tmp_path / "run", folds=2, init=knowing)
    begun = replace(knowing, card=replace(knowing.card, data=CardData()))
    tuned = cross_validate(phantoms, slow, tmp_path / "run", folds=2, init=begun)
    assert tuned.recipe.network == begun.card.network
    assert tuned.summary.mean["dice"] > done.summary.mean["dice"] - 0.2  # one epoch brings 0.3
    with pytest.raises(TrainingError, match=r"was started with a different model \(--init\)"):
        cross_validate(phantoms, tuned.recipe, tmp_path / "run", folds=2, resume=True)
    with pytest.raises(TrainingError, match="is an ensemble; start from one of its folds"):
        cross_validate(phantoms, slow, tmp_path / "other", folds=2, init=done.bundle)


def test_the_masks_beside_the_probabilities_are_evaluated_alike(
    phantoms: Dataset, done: CrossValidation
) -> None:
    predicted = done.out / "out_of_fold"
    names = {case.name for case in phantoms.cases}
    assert {path.name for path in predicted.iterdir()} == {
        *(f"{name}.png" for name in names),
        *(f"{name}_mask.png" for name in names),
    }
    assert evaluate_masks(phantoms, predicted).summary.mean == pytest.approx(done.summary.mean)


def test_crossval_json_keeps_the_contract(done: CrossValidation) -> None:
    document = json.loads((done.out / "crossval.json").read_text())
    assert [fold["fold"] for fold in document["folds"]] == [1, 2, 3]
    assert document["failed_folds"] == []
    dice = [case["dice"] for case in document["cases"]]
    assert len(dice) == 18
    assert document["mean"]["dice"] == pytest.approx(np.mean(dice))
    assert document["std"]["dice"] == pytest.approx(np.std(dice, ddof=1))
    low, high = document["ci95"]["dice"]
    assert low < document["mean"]["dice"] < high


def test_the_ensemble_is_the_mean_of_its_folds_and_of_the_mirrored_film(
    phantoms: Dataset, done: CrossValidation
) -> None:
    pixels = read_radiograph(phantoms.cases[3].image).pixels
    card = done.bundle.card
    assert (card.members, card.flips) == (3, True)
    grid, place = Preparation(card.height, card.width).film(pixels)
    film = torch.from_numpy(grid)[None, None]
    views = []
    with torch.no_grad():
        for number in (1, 2, 3):
            network = load_network(load_bundle(done.out / f"fold-{number}"))
            views += [network(film).sigmoid(), network(film.flip(-1)).sigmoid().flip(-1)]
    mean = scaled(torch.cat(views)[:, 0].mean(0).numpy(), card.temperature)
    expected = Preparation(card.height, card.width).restore(mean, place)
    found = Engine(done.out).find(pixels)
    assert np.abs(found.probability - expected).max() < 0.02  # bfloat16 where the CPU has it
    assert 0 <= found.trust <= 1


@pytest.mark.slow
def test_a_killed_run_resumes_where_it_was(
    phantoms: Dataset, done: CrossValidation, tmp_path: Path
) -> None:
    def kill(fold: int, check: Check) -> None:
        if fold == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        cross_validate(phantoms, recipe(), tmp_path / "cut", folds=3, report=kill)
    with pytest.raises(TrainingError, match="--resume"):
        cross_validate(phantoms, recipe(), tmp_path / "cut", folds=3)
    seen: list[int] = []
    resumed = cross_validate(
        phantoms,
        recipe(),
        tmp_path / "cut",
        folds=3,
        resume=True,
        report=lambda fold, _: seen.append(fold),
    )
    assert seen.count(1) == 1  # that it is finished; it is not trained again
    assert seen.count(2) > 1
    assert seen.count(3) > 1
    assert [c.scores.dice for c in resumed.summary.cases] == pytest.approx(
        [c.scores.dice for c in done.summary.cases]
    )


@pytest.mark.slow
def test_films_that_changed_are_named(phantoms: Dataset, tmp_path: Path) -> None:
    copy = tmp_path / "films"
    shutil.copytree(phantoms.root, copy)
    quick = recipe("run.epochs=1")
    cross_validate(open_dataset(copy), quick, tmp_path / "run", folds=2)
    reworded = quick.model_copy(update={"summary": "the same, in other words"})
    cross_validate(open_dataset(copy), reworded, tmp_path / "run", folds=2, resume=True)
    with pytest.raises(TrainingError, match=r"a different number of folds \(2, not 3\); use that"):
        cross_validate(open_dataset(copy), quick, tmp_path / "run", folds=3, resume=True)
    with pytest.raises(TrainingError, match=r"settings have changed since \("):
        cross_validate(open_dataset(copy), recipe(), tmp_path / "run", folds=2, resume=True)
    groups = "".join(f"{case.name},{n % 4}\n" for n, case in enumerate(open_dataset(copy).cases))
    (copy / "groups.csv").write_text("name,patient\n" + groups)
    with pytest.raises(
        TrainingError, match=r"was started with a different groups.csv or parts.csv; use"
    ):
        cross_validate(open_dataset(copy), quick, tmp_path / "run", folds=2, resume=True)
    (copy / "groups.csv").unlink()
    changed = open_dataset(copy).cases[5]
    Image.fromarray(np.zeros((80, 96), np.uint8)).save(changed.image)
    with pytest.raises(TrainingError, match=rf"changed since \({changed.name}\)"):
        cross_validate(open_dataset(copy), quick, tmp_path / "run", folds=2, resume=True)


def test_folds_that_cannot_be_filled_are_refused(phantoms: Dataset, tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="18 independent films"):
        cross_validate(phantoms, recipe(), tmp_path / "many", folds=19)
    copy = tmp_path / "films"
    shutil.copytree(phantoms.root, copy)
    first, *others = open_dataset(copy).cases
    for case in others:
        Image.fromarray(np.zeros((80, 96), np.uint8)).save(case.mask)
    with pytest.raises(DatasetError, match="only empty masks"):
        cross_validate(open_dataset(copy), recipe(), tmp_path / "empty", folds=2)
    Image.fromarray(np.zeros((80, 96), np.uint8)).save(first.mask)
    with pytest.raises(DatasetError, match=f"{copy}: no mask contains bone"):
        cross_validate(open_dataset(copy), recipe(), tmp_path / "empty", folds=2)
    assert not (tmp_path / "empty").exists()


def test_folds_that_leave_one_film_to_train_on_are_refused(
    phantoms: Dataset, tmp_path: Path
) -> None:
    with pytest.raises(DatasetError, match="2 folds would leave 1 independent film or group"):
        two = replace(phantoms, cases=phantoms.cases[:2])
        cross_validate(two, recipe(), tmp_path / "run", folds=2)
    assert not (tmp_path / "run").exists()


def test_a_film_named_like_the_mask_of_another_is_refused(
    phantoms: Dataset, tmp_path: Path
) -> None:
    first, second, *others = phantoms.cases
    clash = (first, replace(second, name=f"{first.name}_mask"), *others)
    with pytest.raises(DatasetError, match=f"{first.name}_mask; rename one of the two"):
        cross_validate(replace(phantoms, cases=clash), recipe("run.epochs=1"), tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_folds_at_once_give_the_same_figures(
    phantoms: Dataset, done: CrossValidation, tmp_path: Path
) -> None:
    told: list[tuple[int, float]] = []
    found = cross_validate(
        phantoms,
        recipe(),
        tmp_path / "both",
        folds=3,
        parallel=2,
        report=lambda fold, check: told.append((fold, check.done)),
    )
    assert sorted(told) == [(1, 1.0), (2, 1.0), (3, 1.0)]  # each once, when it ends
    ours, theirs = found.summary.mean["dice"], done.summary.mean["dice"]
    assert ours == pytest.approx(theirs, abs=0.05)  # threads add in another order


def ended(*_: object) -> None:
    os._exit(9)


def test_a_worker_ended_from_outside_is_named_in_one_line(
    phantoms: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(crossval, "run_fold", ended)
    with pytest.raises(TrainingError, match=rf"{tmp_path}: a worker was killed"):
        cross_validate(phantoms, recipe(), tmp_path, folds=2, parallel=2)


@pytest.mark.slow
def test_a_fold_that_fails_is_reported_and_the_others_are_finished(
    phantoms: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = folds.train

    def fails(films, chosen, out, **more):  # type: ignore[no-untyped-def]
        if out.name == "fold-2":
            raise TrainingError(f"{out}: the run collapsed 4 times")
        return real(films, chosen, out, **more)

    monkeypatch.setattr(folds, "train", fails)
    found = cross_validate(phantoms, recipe("run.epochs=2"), tmp_path / "run", folds=3)
    assert [number for number, _ in found.failed] == [2]
    assert len(found.folds) == 2
    assert len(found.summary.cases) == 12
    assert "failed" in found.table()
    write_crossval_report(tmp_path / "report.html", found)
    assert "Fold 2 failed" in (tmp_path / "report.html").read_text()


@pytest.mark.slow
def test_parts_have_rows_of_their_own(phantoms: Dataset, tmp_path: Path) -> None:
    cases = tuple(
        replace(case, part="hand" if index < 6 else "leg")
        for index, case in enumerate(phantoms.cases)
    )
    found = cross_validate(
        replace(phantoms, cases=cases), recipe("run.epochs=2"), tmp_path / "run", folds=2
    )
    assert {part: len(s.cases) for part, s in found.parts.items()} == {"hand": 6, "leg": 12}
    for fold in found.folds:
        assert sum(int(case.name[-6:]) < 13 for case in fold.cases) == 3  # stratified
