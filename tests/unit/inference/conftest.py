"""Fixtures that these tests share."""

from __future__ import annotations

import pytest

from boneseg.bundle.shipped import bundled
from boneseg.bundle.store import Bundle, load_bundle


@pytest.fixture(scope="module")
def bundle() -> Bundle:
    return load_bundle(bundled())
