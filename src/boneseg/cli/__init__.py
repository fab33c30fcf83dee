"""The command line: each verb reads its arguments, calls one function, and prints.

The verbs are listed here in the order that `boneseg --help` shows.
"""

from __future__ import annotations

import io
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Annotated

import typer
from typer.exceptions import TyperException

from boneseg._util import logs
from boneseg.cli.films import check, convert, evaluate, segment
from boneseg.cli.services import node, pacs, serve
from boneseg.cli.simulation import demo, simulate
from boneseg.cli.training import compare, crossval, recipes, train, tune
from boneseg.errors import BonesegError, unexpected

# Bytes of address space (ulimit -v) under which OpenVINO and torch end in a segmentation fault, or
# hang: measured on x86-64 Linux, with small films.
ADDRESS_SPACE = {
    **dict.fromkeys(("segment", "evaluate", "serve", "pacs", "node"), 1_000_000_000),
    **dict.fromkeys(("train", "crossval", "compare", "tune", "demo"), 3_000_000_000),
}
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
    _open_standard_streams()
    with _stopped_by("SIGTERM", "SIGHUP"):
        status = _run()
    sys.exit(_flushed(status))


def _run() -> int:
    if isinstance(sys.stdout, io.TextIOWrapper):  # a file's name may be no text
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        _check_address_space(next(iter(sys.argv[1:]), ""))
        status: int = app(prog_name="boneseg", standalone_mode=False)
    except BonesegError as error:
        logs.error(str(error))
        status = error.exit_status
    except ModuleNotFoundError as error:
        extra = EXTRAS.get(error.name or "")
        told = f"{error.name} is not installed; pip install 'boneseg[{extra}]'"
        logs.error(told if extra else unexpected("boneseg", error))
        status = 1
    except BrokenPipeError:  # whoever read the results has left
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
    except Exception as error:  # of a library
        logs.error(unexpected("boneseg", error))
        status = 1
    if status == STOPPED:  # typer makes an exit status of Ctrl-C, and says nothing
        verb = next(iter(sys.argv[1:]), "")
        logs.info("stopped; go on with --resume" if verb in RESUMABLE else "stopped")
    return status


def _check_address_space(verb: str) -> None:
    """Raises BonesegError where the process may not have the address space that a verb needs."""
    try:
        import resource
    except ImportError:  # Windows
        return
    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    least = ADDRESS_SPACE.get(verb, 0)
    if limit != resource.RLIM_INFINITY and limit < least:
        raise BonesegError(
            f"{verb}: virtual memory is limited to {limit / 1e9:.1f} GB (ulimit -v), and "
            f"{least / 1e9:g} GB are needed; raise the limit"
        )


def _open_standard_streams() -> None:
    """Open those that are closed, or the next file opened would become stdout or stderr."""
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)


@contextmanager
def _stopped_by(*names: str) -> Iterator[None]:
    """Have these signals stop a verb as Ctrl-C does, so that it leaves what is done whole.

    A signal that is ignored (nohup) stays so, and services set handlers of their own.
    """

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    here = threading.current_thread() is threading.main_thread()
    known = [getattr(signal, name) for name in names if here and hasattr(signal, name)]
    mine = [one for one in known if signal.getsignal(one) == signal.SIG_DFL]
    for one in mine:
        signal.signal(one, stop)
    try:
        yield
    finally:
        for one in mine:
            signal.signal(one, signal.SIG_DFL)


def _flushed(status: int) -> int:
    """The exit status once stdout is written; 1 where that fails."""
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except OSError as error:
        if not isinstance(error, BrokenPipeError):
            logs.error(f"standard output: cannot be written ({error.strerror}); free space")
        with suppress(OSError):  # or Python would try again at its end, and print a traceback
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return status or 1
    return status
