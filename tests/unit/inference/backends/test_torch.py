"""PyTorch says what it runs on; test_base.py holds it to the contract of all backends."""

from __future__ import annotations

from boneseg.bundle.store import Bundle
from boneseg.inference.backends.torch import Torch


def test_it_says_what_it_runs_on(bundle: Bundle) -> None:
    assert Torch(bundle, at_once=2).name.startswith("PyTorch ")
