"""Objects on a patient are not bone."""

from dataclasses import replace

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from boneseg.simulate.clutter import add_objects
from boneseg.simulate.projector import Exposure, expose
from tests.support.simulation import some_paths


@settings(max_examples=60)
@given(seed=st.integers(0, 2**31))
def test_what_lies_on_a_patient_makes_no_bone(seed: int) -> None:
    paths = some_paths()
    after = add_objects(np.random.default_rng(seed), paths, pitch=1.0)
    assert np.array_equal(after.envelope, paths.envelope)
    assert all(
        np.isfinite(way).all() and (way >= 0).all()
        for way in (after.bone, after.muscle, after.fat, after.lead)
    )


def test_a_film_that_lead_covers_is_a_film() -> None:
    paths = replace(some_paths(), lead=np.ones_like(some_paths().lead))
    film = expose(paths, Exposure(), np.random.default_rng(0))
    assert np.isfinite(film).all() and 0 <= film.min() < film.max() <= 1
