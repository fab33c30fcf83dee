"""Process-wide settings work on any system."""

from __future__ import annotations

import numpy as np

from boneseg._util import runtime


def test_memory_that_is_freed_can_be_kept_on_any_system() -> None:
    runtime.share_freed_memory()
    runtime.keep_freed_memory()
    assert float(np.ones((1000, 1000)).sum()) == 1_000_000
