"""Calls parsed without typer have the arguments that typer gives them."""

from __future__ import annotations

import inspect
from contextlib import redirect_stdout, suppress
from functools import wraps
from io import StringIO
from pathlib import Path
from typing import Annotated, Literal

import pytest
import typer
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.exceptions import TyperException

from boneseg.cli.arguments import Argument, Option, Verb, parameters, plain_arguments
from boneseg.cli.typer_app import typer_command
from boneseg.cli.verbs import VERBS, verb

VALUES = ("3", "0", "2.5", "-1", "1e3", "text", "json", "a=b", "", "--", "-", "70000", "nan", "٣")
received: list[dict[str, object]] = []


def recording(called: Verb) -> Verb:
    """A verb that only records its arguments."""

    @wraps(called)
    def record(**values: object) -> int:
        received.append(values)
        return 0

    return record


def app_of(name: str) -> typer.Typer:
    app = typer.Typer(add_completion=False)
    app.command()(typer_command(recording(verb(name))))
    return app


APPS = {name: app_of(name) for name in VERBS}


def by_typer(name: str, words: list[str]) -> dict[str, object] | None:
    """The arguments of a call as typer parses it; None if it is invalid or asks for help."""
    received.clear()
    with suppress(TyperException, typer.Exit), redirect_stdout(StringIO()):
        APPS[name](words, standalone_mode=False)
    return received[0] if received else None


def with_defaults(name: str, arguments: dict[str, object]) -> dict[str, object]:
    bound = inspect.signature(verb(name)).bind(**arguments)
    bound.apply_defaults()
    return dict(bound.arguments)


@st.composite
def calls(draw: st.DrawFn) -> tuple[str, list[str]]:
    """A verb and words after it: its options and arguments with good and bad values."""
    name = draw(st.sampled_from(list(VERBS)))
    value = st.sampled_from(VALUES)
    options = [one.option_name for one in parameters(verb(name)).values() if one.option_name]
    option = st.sampled_from([*options, *(f"--no-{one[2:]}" for one in options), "--help", "-x"])
    words = st.one_of(
        st.tuples(option, value),
        st.tuples(option),
        st.builds(lambda one, text: (f"{one}={text}",), option, value),
        st.tuples(value),
    )
    needed = [
        part
        for one in parameters(verb(name)).values()
        if one.option_name in ("--out", "--to", "--count")
        for part in (one.option_name, "7")
    ]
    drawn = [word for part in draw(st.lists(words, max_size=4)) for word in part]
    return name, [*(needed if draw(st.booleans()) else []), *drawn]


@settings(max_examples=75)
@given(calls())
def test_a_call_has_the_arguments_that_typer_gives_it(call: tuple[str, list[str]]) -> None:
    name, words = call
    plain = plain_arguments(verb(name), words)
    if plain is not None:
        assert with_defaults(name, plain) == by_typer(name, words)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("segment", ["knee.png", "films", "--out", "masks", "--format=mask,coco", "--json"]),
        ("segment", ["--out", "masks", "--frame", "2", "--full-resolution", "knee.dcm"]),
        ("check", ["--images", "films", "--masks", "masks", "--label", "femur", "--label=tibia"]),
        ("train", ["data", "--out", "run", "--set", "run.seed=1", "--minutes", "0.5", "--resume"]),
        ("compare", ["data", "fast", "unet", "--out", "runs", "--folds", "3"]),
        ("recipes", []),
        ("serve", ["--port", "0", "--log-format", "json"]),
        ("pacs", ["https://pacs/dicom-web", "--study", "1.2.3", "--every", "10"]),
        ("node", ["--to", "ORTHANC@localhost:4242", "--from", "CR1"]),
    ],
)
def test_usual_calls_do_without_typer(name: str, words: list[str]) -> None:
    plain = plain_arguments(verb(name), words)
    assert plain is not None
    assert with_defaults(name, plain) == by_typer(name, words)


@pytest.mark.parametrize(
    "words",
    [
        ["--help"],
        ["knee.png"],  # --out is missing
        ["--out", "masks"],  # the films are missing
        ["knee.png", "--out"],
        ["knee.png", "--out", "masks", "--outt", "x"],
        ["knee.png", "--out", "masks", "--out", "others"],
        ["knee.png", "--out", "masks", "--frame", "two"],
        ["knee.png", "--out", "masks", "--json=yes"],
        ["--", "knee.png", "--out", "masks"],
    ],
)
def test_other_calls_are_left_to_typer(words: list[str]) -> None:
    assert plain_arguments(verb("segment"), words) is None


def test_completions_and_patterns_of_windows_are_left_to_typer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("_BONESEG_COMPLETE", "complete_bash")
    assert plain_arguments(verb("recipes"), []) is None
    monkeypatch.delenv("_BONESEG_COMPLETE")
    monkeypatch.setattr("boneseg.cli.arguments.os.name", "nt")
    assert plain_arguments(verb("recipes"), []) is None


def test_numbers_and_choices_outside_their_range_are_left_to_typer() -> None:
    def listen(
        port: Annotated[int, Option(help="Port.", min=1, max=65535)] = 80,
        form: Annotated[Literal["text", "json"], Option("--log", help="Format.")] = "text",
    ) -> int:
        return 0

    assert plain_arguments(listen, ["--port", "65535", "--log", "json"]) == {
        "port": 65535,
        "form": "json",
    }
    assert plain_arguments(listen, ["--port", "65536"]) is None
    assert plain_arguments(listen, ["--port", "0"]) is None
    assert plain_arguments(listen, ["--log", "xml"]) is None
    assert plain_arguments(listen, ["film.png"]) is None


def test_a_parameter_knows_its_name_in_a_call() -> None:
    def show(
        film: Annotated[Path, Argument(help="")],
        keep_names: Annotated[bool, Option(help="")] = False,
    ) -> int:
        return 0

    found = parameters(show)
    assert [one.option_name for one in found.values()] == ["", "--keep-names"]
    assert not found["film"].is_list
