"""One mechanism registers networks, losses, optimisers, schedules and metrics by name."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from boneseg._util.registry import Registry, import_modules
from boneseg.errors import UsageError


def registry() -> Registry[int]:
    numbers: Registry[int] = Registry("number")
    numbers.register("one")(1)
    numbers.register("three")(3)
    return numbers


def test_entries_are_found_by_name_in_the_order_of_registration() -> None:
    numbers = registry()
    assert numbers["three"] == 3
    assert (list(numbers), numbers.names, len(numbers)) == (["one", "three"], ("one", "three"), 2)
    assert "one" in numbers and "two" not in numbers
    assert dict(numbers.items()) == {"one": 1, "three": 3}


def test_an_unknown_name_is_refused_listing_the_known_ones() -> None:
    with pytest.raises(UsageError) as caught:
        registry()["thre"]
    assert str(caught.value) == "no number 'thre' (did you mean 'three'?); choose from one, three"


def test_a_name_is_registered_once() -> None:
    with pytest.raises(ValueError, match="number named 'one' already"):
        registry().register("one")(11)


def test_every_module_of_a_package_is_imported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "extensions_of_a_test"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "first.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    import_modules(package.name, [str(package)])
    assert sys.modules.pop(f"{package.name}.first").__name__ == f"{package.name}.first"
    del sys.modules[package.name]
