"""Command line: each verb parses its arguments, calls one function and prints the result.

The verbs are listed in the order of `boneseg --help`.
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

# Address space in bytes (ulimit -v) below which OpenVINO and torch crash with a segmentation fault
# or hang; measured on x86-64 Linux with small films.
ADDRESS_SPACE = {
    **dict.fromkeys(("segment", "evaluate", "serve", "pacs", "node"), 1_000_000_000),
    **dict.fromkeys(("train", "crossval", "compare", "tune", "demo"), 3_000_000_000),
}
STOPPED = 130  # exit status after Ctrl-C
RESUMABLE = ("train", "crossval", "compare", "tune")
EXTRAS = {  # the extra that installs an optional library
    **dict.fromkeys(("torch", "onnx", "onnxscript", "optuna"), "train"),
    "trimesh": "simulate",
    "nncf": "int8",
    **dict.fromkeys(("fastapi", "uvicorn", "python_multipart"), "serve"),
    **dict.fromkeys(("pynetdicom", "httpx"), "pacs"),
}

app = typer.Typer(
    name="boneseg",
    help="Segment bones in X-ray radiographs.",
    no_args_is_help=True,
    add_completion=False,
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
    """Run the command line; print an error as one line and exit with its status."""
    _open_standard_streams()
    with _stopped_by("SIGTERM", "SIGHUP"):
        status = _run()
    sys.exit(_flushed(status))


def _run() -> int:
    if isinstance(sys.stdout, io.TextIOWrapper):  # file names may be undecodable
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        _check_address_space(next(iter(sys.argv[1:]), ""))
        status: int = app(prog_name="boneseg", standalone_mode=False)
    except BonesegError as error:
        logs.error(str(error))
        status = error.exit_status
    except ModuleNotFoundError as error:
        extra = EXTRAS.get(error.name or "")
        advice = f"{error.name} is not installed; pip install 'boneseg[{extra}]'"
        logs.error(advice if extra else unexpected("boneseg", error))
        status = 1
    except BrokenPipeError:  # the reader of stdout has closed it
        status = 1
    except OSError as error:  # a path not checked before: no permission, or too long
        logs.error(f"{error.filename or 'a file'}: {error.strerror or error}; check the path")
        status = 1
    except MemoryError:  # outside the processing of a single film, which names the film
        logs.error("there is not enough memory; close other programs or process less at once")
        status = 1
    except (typer.Abort, KeyboardInterrupt):
        status = STOPPED
    except TyperException as error:
        words = getattr(error, "format_message", error.__str__)().rstrip(".")
        if words:  # empty if the full help was printed, for a call without arguments
            called = getattr(getattr(error, "ctx", None), "command_path", "boneseg")
            logs.error(f"{words}; see {called} --help")
        status = 2
    except Exception as error:  # from a library
        logs.error(unexpected("boneseg", error))
        status = 1
    if status == STOPPED:  # typer turns Ctrl-C into an exit status silently
        verb = next(iter(sys.argv[1:]), "")
        logs.info("stopped; continue with --resume" if verb in RESUMABLE else "stopped")
    return status


def _check_address_space(verb: str) -> None:
    """Raise BonesegError if the limit on address space is too low for a verb."""
    try:
        import resource
    except ImportError:  # Windows
        return
    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    least = ADDRESS_SPACE.get(verb, 0)
    if limit != resource.RLIM_INFINITY and limit < least:
        raise BonesegError(
            f"{verb}: virtual memory is limited to {limit / 1e9:.1f} GB (ulimit -v), but "
            f"{least / 1e9:g} GB are needed; raise the limit"
        )


def _open_standard_streams() -> None:
    """Open closed standard streams, so that the next file opened does not take their place."""
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)


@contextmanager
def _stopped_by(*names: str) -> Iterator[None]:
    """Let these signals stop a verb as Ctrl-C does, so that finished results stay intact.

    Ignored signals (nohup) stay ignored; services install their own handlers.
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
    """Flush stdout; return the exit status, or 1 if writing fails."""
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except OSError as error:
        if not isinstance(error, BrokenPipeError):
            logs.error(f"standard output: cannot be written ({error.strerror}); free disk space")
        with suppress(OSError):  # otherwise Python retries at exit and prints a traceback
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return status or 1
    return status
