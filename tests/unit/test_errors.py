"""The tree of errors: exit status, pickling, and messages that quote nothing from a film."""

from __future__ import annotations

import inspect
import pickle

import pytest

from boneseg import errors
from boneseg.errors import BonesegError, RecipeError, UsageError, unexpected

KINDS = [
    kind
    for _, kind in inspect.getmembers(errors, inspect.isclass)
    if issubclass(kind, BonesegError)
]


@pytest.mark.parametrize("kind", KINDS)
def test_an_error_passes_between_processes_with_its_message(kind: type[BonesegError]) -> None:
    error = kind("knee.png: is not a film")
    error.add_note("a note")
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is kind and str(again) == "knee.png: is not a film"
    assert again.__notes__ == ["a note"]


@pytest.mark.parametrize("kind", KINDS)
def test_a_message_is_one_line_whatever_it_quotes(kind: type[BonesegError]) -> None:
    for end in ("\n", "\r\n", "\x0b", "\x85", "\u2028"):
        assert str(kind(f"a{end}b.json: is damaged{end}")) == r"a\nb.json: is damaged"


def test_only_invalid_arguments_have_status_2() -> None:
    assert {kind for kind in KINDS if kind.exit_status == 2} == {UsageError, RecipeError}
    assert {kind.exit_status for kind in KINDS} == {1, 2}


def test_the_tree_in_the_docstring_names_every_error() -> None:
    assert errors.__doc__ is not None
    assert all(kind.__name__ in errors.__doc__ for kind in KINDS)


def test_a_bug_is_reported_by_type_and_location_without_its_message() -> None:
    try:
        raise KeyError("Zaphod^Beeblebrox")
    except KeyError as error:
        message = unexpected("knee.dcm", error)
    assert message.startswith("knee.dcm: unexpected error (KeyError in test_errors.py:")
    assert "Zaphod" not in message and "\n" not in message
    assert unexpected("knee.dcm", MemoryError()) == "knee.dcm: does not fit into memory; reduce it"
