"""The command line: each verb reads its arguments, calls one function, and prints.

The verbs are listed here in the order that `boneseg --help` shows.
"""

from __future__ import annotations

import io
import sys
from typing import Annotated

import typer
from typer.exceptions import TyperException

from boneseg import logs
from boneseg.cli.films import check, convert, evaluate, segment
from boneseg.cli.learning import compare, crossval, recipes, train, tune
from boneseg.cli.making import demo, simulate
from boneseg.cli.services import node, pacs, serve
from boneseg.errors import BonesegError

STOPPED = 130  # the exit status after Ctrl-C
RESUMABLE = ("train", "crossval", "compare", "tune")
EXTRAS = {  # the extra that brings a library which the base install has not
    **dict.fromkeys(("torch", "onnx", "onnxscript", "optuna"), "train"),
    "trimesh": "simulate",
    "nncf": "int8",
    **dict.fromkeys(("fastapi", "uvicorn", "python_multipart"), "serve"),
    **dict.fromkeys(("pynetdicom", "httpx"), "pacs"),
}

app = typer.Typer(
    name="boneseg",
    help="Finds the bones in X-ray radiographs.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


def print_version(asked: bool) -> None:
    """For whoever tells of a bug."""
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
    """What may stand before a verb."""


for verb in (
    segment,
    check,
    train,
    crossval,
    compare,
    tune,
    evaluate,
    convert,
    simulate,
    recipes,
    serve,
    pacs,
    node,
    demo,
):
    app.command()(verb)


def main() -> None:
    """The command: prints one line for an error, and exits with its status."""
    if isinstance(sys.stdout, io.TextIOWrapper):  # a file's name may be no text
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        status = app(prog_name="boneseg", standalone_mode=False)
    except BonesegError as error:
        logs.error(str(error))
        status = error.exit_status
    except ModuleNotFoundError as error:
        if error.name not in EXTRAS:
            raise
        logs.error(f"{error.name} is not installed; pip install 'boneseg[{EXTRAS[error.name]}]'")
        status = 1
    except OSError as error:  # of a path that no room has looked at yet: forbidden, or too long
        logs.error(f"{error.filename or 'a file'}: {error.strerror or error}; check the path")
        status = 1
    except MemoryError:  # of what is no single film, which is told by its name
        logs.error("there is not enough memory; close other programs, or ask for less")
        status = 1
    except (typer.Abort, KeyboardInterrupt):
        status = STOPPED
    except TyperException as error:
        words = getattr(error, "format_message", error.__str__)().rstrip(".")
        if words:  # none where all of the help was printed, for a call without any word
            called = getattr(getattr(error, "ctx", None), "command_path", "boneseg")
            logs.error(f"{words}; see {called} --help")
        status = 2
    if status == STOPPED:  # typer makes an exit status of Ctrl-C, and says nothing
        verb = next(iter(sys.argv[1:]), "")
        logs.info("stopped; go on with --resume" if verb in RESUMABLE else "stopped")
    sys.exit(status)
