"""A missing library is named with the extra that installs it."""

from __future__ import annotations

import sys

import pytest

import boneseg
from boneseg._util.extras import advice, is_installed, require


def test_a_library_of_an_extra_has_advice_and_another_has_none() -> None:
    words = 'httpx is not installed; pip install "boneseg[pacs]"'
    assert advice(ModuleNotFoundError(name="httpx")) == words
    assert advice(ModuleNotFoundError(name="antigravity")) is None
    assert advice(ModuleNotFoundError()) is None


def test_a_library_that_is_not_installed_is_missed_before_it_is_imported(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    require("httpx")
    monkeypatch.setitem(sys.modules, "highdicom", None)
    assert is_installed("httpx") and not is_installed("highdicom")
    with pytest.raises(ModuleNotFoundError) as raised:
        require("highdicom")
    assert advice(raised.value) == "highdicom is not installed; pip install --no-deps highdicom"


def test_a_name_of_the_package_says_which_extra_it_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in [name for name in sys.modules if name.startswith("boneseg.training")]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(ImportError, match=r'pip install "boneseg\[train\]"'):
        _ = boneseg.train
