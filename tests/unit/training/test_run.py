"""A finished run: its card lists the films that it was trained and evaluated on."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from boneseg.bundle.store import load_bundle
from boneseg.dataset.open import Dataset
from boneseg.training.run import TrainedRun
from boneseg.training.train import train
from tests.support.training import recipe


@pytest.fixture(scope="module")
def run(phantoms: Dataset, tmp_path_factory: pytest.TempPathFactory) -> TrainedRun:
    return train(phantoms, recipe("run.epochs=2"), tmp_path_factory.mktemp("run") / "run")


def test_the_card_names_the_films_by_digest_and_the_working_size(
    run: TrainedRun, phantoms: Dataset
) -> None:
    card = run.assess().card
    assert (card.height, card.width) == (64, 64)
    assert card.data.training + card.data.validation == len(phantoms.cases) == len(card.data.seen)
    assert card.data.fingerprint == run.fingerprint


def test_masks_are_those_of_the_calibrated_threshold(run: TrainedRun) -> None:
    judged = run.assess()
    assert len(judged.masks) == len(run.validation) == len(judged.summary.cases)
    for mask, film in zip(judged.masks, run.validation, strict=True):
        assert mask.shape == film.mask.shape and mask.dtype == np.bool_
    assert 0 < judged.card.threshold < 1


def test_it_is_saved_as_a_bundle_that_is_verified(run: TrainedRun, tmp_path: Path) -> None:
    run.save(tmp_path / "bundle")
    assert load_bundle(tmp_path / "bundle").card.threshold == run.assess().card.threshold


def test_it_is_shown_in_words_and_with_its_curves(run: TrainedRun) -> None:
    words = f"{len(run.training)} + {len(run.validation)} films"
    assert words in repr(run) and f"Dice {run.best_dice:.4f}" in repr(run)
    assert run._repr_html_().count("<svg") == 2
