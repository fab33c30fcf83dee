"""Compared with dcm2pnm, the converter of DCMTK, on random headers."""

from __future__ import annotations

import shutil

import numpy as np
import pytest

from boneseg.radiograph.read import read_radiograph
from tests.support import headers

pytestmark = pytest.mark.skipif(
    shutil.which("dcm2pnm") is None, reason="needs dcm2pnm, of Debian's dcmtk"
)


@pytest.mark.parametrize("tens", range(10))
def test_a_film_is_shown_as_dcm2pnm_shows_it(tmp_path, tens):
    """500 of them: benchmarks/comparison/against_dcm2pnm.py."""
    for seed in range(10 * tens, 10 * tens + 10):
        case = headers.draw(seed)
        path = case.write(tmp_path / f"{seed}.dcm")
        found, expected = read_radiograph(path).pixels, case.reference(path)
        wrong = np.abs(found - expected).max()
        assert wrong <= 1 / 255 + case.unit, f"seed {seed}: {wrong:.3f} ({', '.join(case.reasons)})"
