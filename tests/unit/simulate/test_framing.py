"""Image artefacts after exposure."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from boneseg.simulate.framing import frame_film
from tests.support.simulation import some_paths


@settings(max_examples=60)
@given(seed=st.integers(0, 2**31), times=st.integers(1, 3))
def test_a_reader_shows_a_film_in_range_and_adds_no_bone(seed: int, times: int) -> None:
    rng = np.random.default_rng(seed)
    mask = np.tile(some_paths().mask, (times, 1))  # long films have rulers and seams
    labels = mask * np.uint64(3)  # two labels alike
    film, shown = frame_film(rng, rng.random(mask.shape, dtype=np.float32), labels)
    assert film.dtype == np.float32 and film.shape == mask.shape
    assert film.min() >= 0 and film.max() <= 1
    assert shown.dtype == np.uint64 and set(np.unique(shown)) <= {0, 3}
    assert (shown > 0).sum() <= mask.sum() * 1.05
