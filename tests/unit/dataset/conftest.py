"""A small dataset for the tests of this package."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.datasets import add, limb


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Six sound cases, case0 to case5."""
    for folder in ("images", "masks"):
        (tmp_path / folder).mkdir()
    for seed in range(6):
        add(tmp_path, f"case{seed}", *limb(seed))
    return tmp_path
