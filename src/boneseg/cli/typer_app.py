"""The command line in typer: help, suggestions, and the messages of invalid calls.

    run_typer(["segment", "--help"])

All verbs with their arguments, as `arguments.py` declares them.
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from functools import wraps
from typing import Annotated, Literal, get_args, get_origin

import typer
from typer.exceptions import TyperException

from boneseg.cli.arguments import Argument, Parameter, Verb, parameters
from boneseg.cli.verbs import VERBS, verb
from boneseg.errors import UsageError

app = typer.Typer(
    name="boneseg",
    help="Segment bones in X-ray radiographs.",
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},  # of every verb as well
    pretty_exceptions_enable=False,
)


def print_version(asked: bool) -> None:
    """Print the version and exit."""
    if asked:
        from boneseg import __version__

        print(__version__)
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool,
        typer.Option("--version", help="Print the version.", callback=print_version, is_eager=True),
    ] = False,
) -> None:
    """Options before the verb."""


def typer_command(called: Verb) -> Verb:
    """A verb with its arguments as typer declares them: in the defaults of its parameters."""
    known = parameters(called)

    @wraps(called)
    def command(**values: object) -> int:
        return called(**values)

    signature = inspect.signature(called, eval_str=True)
    declared = [
        one.replace(annotation=_kind(one), default=_default(one, known[one.name]))
        for one in signature.parameters.values()
    ]
    command.__signature__ = signature.replace(parameters=declared)  # type: ignore[attr-defined]
    command.__annotations__ = {one.name: one.annotation for one in declared}
    return command


def _kind(parameter: inspect.Parameter) -> object:
    kind: object = parameter.annotation.__origin__  # of Annotated
    return kind


def _default(parameter: inspect.Parameter, known: Parameter) -> object:
    default = ... if parameter.default is parameter.empty else parameter.default
    declared = known.declared
    if isinstance(declared, Argument):
        return typer.Argument(default, help=declared.help, metavar=declared.metavar)
    return typer.Option(
        default,
        *filter(None, [declared.name]),
        help=declared.help,
        rich_help_panel=declared.panel,
        metavar=declared.metavar,
        min=declared.min,
        max=declared.max,
    )


for name in VERBS:
    app.command(name)(typer_command(verb(name)))


def run_typer(words: Sequence[str]) -> int:
    """Run the command line; returns its exit status.

    Raises UsageError for an invalid call, KeyboardInterrupt where it is interrupted, and what a
    verb raises.
    """
    try:
        status: int = app(list(words), prog_name="boneseg", standalone_mode=False)
    except typer.Abort:
        raise KeyboardInterrupt from None
    except TyperException as error:
        told = _refused(error) or getattr(error, "format_message", error.__str__)().rstrip(".")
        if not told:  # the full help was printed, for a call without arguments
            return UsageError.exit_status
        called = getattr(getattr(error, "ctx", None), "command_path", "boneseg")
        raise UsageError(f"{told}; see {called} --help") from None
    return status


def _refused(error: TyperException) -> str:
    """An option with a value that is not of its kind, and what to give; "" for other errors."""
    from pydantic import ValidationError

    from boneseg._util.invalid_value import advice, quoted

    if not isinstance(error, typer.BadParameter) or not isinstance(
        error.__cause__, ValidationError
    ):
        return ""
    assert error.ctx is not None and error.param is not None
    declared = parameters(verb(str(error.ctx.info_name)))[str(error.param.name)]
    first = error.__cause__.errors()[0]
    wanted = advice(first)
    if get_origin(declared.kind) is Literal:
        wanted = f"choose from {', '.join(get_args(declared.kind))}"
    return f"{declared.option_name} {quoted(first['input'])}: {wanted}"
