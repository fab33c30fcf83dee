"""Exposures suit the body, and one seed gives one film."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from boneseg.simulate.acquisition import expose_for
from tests.support.simulation import some_paths


def test_a_thicker_body_is_exposed_harder_on_average() -> None:
    thin = some_paths()
    thick = replace(thin, muscle=thin.muscle * 6, fat=thin.fat * 6)

    def kilovolts(paths: object) -> float:
        return float(
            np.mean([expose_for(np.random.default_rng(s), paths, "chest").kvp for s in range(20)])
        )

    assert kilovolts(thick) > kilovolts(thin)


def test_one_seed_gives_one_exposure() -> None:
    def exposure(seed: int) -> object:
        return expose_for(np.random.default_rng(seed), some_paths(), "hand")

    assert exposure(1) == exposure(1) != exposure(2)
