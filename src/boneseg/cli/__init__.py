"""Command line: each verb parses its arguments, calls one function and prints the result."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from boneseg._util import logs, runtime
from boneseg.cli.arguments import plain_arguments
from boneseg.cli.verbs import VERBS, verb
from boneseg.errors import BonesegError, unexpected

RUN_VERBS = ("train", "crossval", "compare", "tune")
RESUMABLE = (*RUN_VERBS, "simulate")
TRAINING = (*RUN_VERBS, "demo")
SERVICES = ("serve", "pacs", "node")  # they handle signals of their own
# Address space in bytes (ulimit -v) below which OpenVINO and torch crash with a segmentation fault
# or hang; measured on x86-64 Linux with small films.
ADDRESS_SPACE = {
    **dict.fromkeys(("segment", "evaluate", "serve", "pacs", "node"), 1_000_000_000),
    **dict.fromkeys(TRAINING, 3_000_000_000),
}
STOPPED = 130  # exit status after Ctrl-C


def main() -> None:
    """Run the command line; print an error as one line and exit with its status."""
    runtime.open_standard_streams()
    runtime.escape_output()
    runtime.start()
    if _verb() in TRAINING:
        runtime.keep_freed_memory()
    elif _verb() == "segment":
        runtime.share_freed_memory()
        runtime.calculate_in_one_thread()
        runtime.omit_developers_modules()
    with runtime.stopped_by(*(() if _verb() in SERVICES else ("SIGTERM", "SIGHUP"))):
        status = _run()
    sys.exit(_flushed(status))


def _run() -> int:
    try:
        _check_address_space(_verb())
        status = call(sys.argv[1:])
    except BonesegError as error:
        logs.error(str(error))
        status = error.exit_status
    except ModuleNotFoundError as error:
        from boneseg._util.extras import advice  # seldom needed

        logs.error(advice(error) or unexpected("boneseg", error))
        status = 1
    except BrokenPipeError:  # the reader of stdout has closed it
        status = 1
    except OSError as error:  # a path not checked before: no permission, or too long
        logs.error(_path_problem(error))
        status = 1
    except MemoryError:  # outside the processing of a single film, which names the film
        logs.error("there is not enough memory; close other programs or process less at once")
        status = 1
    except KeyboardInterrupt:
        status = STOPPED
    except SystemExit as ended:  # of a service that is terminated; None is success, text is not
        status = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    except Exception as error:  # from a library
        logs.error(unexpected("boneseg", error))
        status = 1
    if status == STOPPED:  # typer turns Ctrl-C into an exit status silently
        logs.info("stopped; continue with --resume" if _verb() in RESUMABLE else "stopped")
    return status


def _path_problem(error: OSError) -> str:
    try:
        Path.cwd()
    except OSError:  # removed since it was entered; the error of a relative path names no file
        return "the current folder does not exist any more; change to another one"
    return f"{error.filename or 'a file'}: {error.strerror or error}; check the path"


def call(words: Sequence[str]) -> int:
    """Call a verb with the words after `boneseg`; returns the exit status.

    Raises UsageError for an invalid call, and what the verb raises.
    """
    called = verb(words[0]) if words and words[0] in VERBS else None
    if called is not None:
        arguments = plain_arguments(called, words[1:])
        if arguments is not None:
            return called(**arguments)
    from boneseg.cli.typer_app import run_typer  # takes as long as segmenting a film

    return run_typer(words)


def _verb() -> str:
    return next(iter(sys.argv[1:]), "")


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


def _flushed(status: int) -> int:
    """Flush stdout and stderr; return the exit status, or 1 if stdout cannot be written."""
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except OSError as error:
        if not isinstance(error, BrokenPipeError):
            logs.error(f"standard output: cannot be written ({error.strerror}); free disk space")
        runtime.drop_output(sys.stdout)
        status = status or 1
    try:
        if sys.stderr is not None:
            sys.stderr.flush()
    except OSError:  # which Python 3.14 would end with a status of its own
        runtime.drop_output(sys.stderr)
    return status
