"""Devices on head and chest are not bone."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from boneseg.simulate.devices import add_chest_devices, add_head_devices
from tests.support.simulation import some_paths


@pytest.mark.parametrize("add", [add_head_devices, add_chest_devices])
def test_they_add_metal_and_leave_the_bones_alone(add: Callable[..., object]) -> None:
    paths, found = some_paths(), []
    for seed in range(30):
        after = add(np.random.default_rng(seed), paths, 0.5)
        assert np.array_equal(after.bone, paths.bone)
        assert np.array_equal(after.mask, paths.mask)
        assert np.isfinite(after.lead).all() and (after.lead >= paths.lead).all()
        found.append(bool((after.lead > paths.lead).any()))
    assert any(found) and not all(found)  # on some films
