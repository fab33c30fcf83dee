"""Which film is to be corrected next."""

from __future__ import annotations

import numpy as np

from boneseg.server.active_learning import Candidate, correction_order


def test_the_next_film_is_uncertain_and_unlike_earlier_ones() -> None:
    rng = np.random.default_rng(0)
    kinds = rng.normal(size=(3, 100)).astype(np.float32)
    kinds /= np.linalg.norm(kinds, axis=1, keepdims=True)
    films = [
        Candidate("sure", 0.99, kinds[2]),
        *(Candidate(f"doubt-{i}", 0.5 + i / 100, kinds[0]) for i in range(3)),
        Candidate("other", 0.6, kinds[1]),
    ]
    order = correction_order(films, [])
    assert order[:2] == ["doubt-0", "other"]  # not three of a kind in a row
    assert order[2] == "sure"
    order = correction_order(films, [kinds[0], kinds[2]])
    assert order[0] == "other"  # what is like the labelled films teaches less
