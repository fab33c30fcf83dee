"""The log of the services (`serve`, `pacs`, `node`) on stderr: one record per line.

    from boneseg._util.logs import log

    log.info("film 3f2a91b0c4de: stored")

`start` selects the format:

    text    2026-11-28T17:20:31.123+00:00 INFO film 3f2a91b0c4de: stored
    json    {"time": "2026-11-28T17:20:31.123+00:00", "level": "INFO", "message": "film ..."}

Tracebacks and messages of third-party exceptions may contain patient data: only the type of an
exception is logged. Until `start` is called, as in a program that imports boneseg, records go to
the handlers that the program sets for the logger "boneseg".
"""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime
from typing import Literal

from boneseg._util import runtime
from boneseg._util.console import say
from boneseg._util.text import one_line

LogFormat = Literal["text", "json"]

_TRACEBACK = "Traceback (most recent call last)"

log = logging.getLogger("boneseg")
log.addHandler(logging.NullHandler())  # otherwise Python prints warnings to stderr


def start(form: LogFormat = "text", others: Sequence[str] = ()) -> None:
    """Log to stderr from level INFO; `others` are loggers of libraries, logged from WARNING."""
    handler = _Stderr()
    handler.setFormatter(_Lines(form))
    for name in (log.name, *others):
        logger = logging.getLogger(name)
        for old in [old for old in logger.handlers if isinstance(old, _Stderr)]:
            logger.removeHandler(old)
        logger.addHandler(handler)
        logger.setLevel(logging.INFO if logger is log else logging.WARNING)
    runtime.report_thread_errors(log.error)


def is_started() -> bool:
    """Whether this process logs to stderr."""
    return any(isinstance(handler, _Stderr) for handler in log.handlers)


def error(message: str) -> None:
    """Report an error that ends the program: a log record in a service, else a line on stderr."""
    if is_started():
        log.error(message)
    else:
        say(f"error: {message}")


def info(message: str) -> None:
    """Report a message: a log record in a service, else a line on stderr."""
    if is_started():
        log.info(message)
    else:
        say(message)


class _Stderr(logging.Handler):
    """A handler that, unlike StreamHandler, prints no traceback where stderr is closed."""

    def emit(self, record: logging.LogRecord) -> None:
        with suppress(Exception):
            print(self.format(record), file=sys.stderr, flush=True)


class _Lines(logging.Formatter):
    def __init__(self, form: LogFormat) -> None:
        super().__init__()
        self.form = form

    def format(self, record: logging.LogRecord) -> str:
        moment = datetime.fromtimestamp(record.created).astimezone()
        time = moment.isoformat(timespec="milliseconds")
        message = record.getMessage()
        if _TRACEBACK in message:  # as uvicorn reports what stops it
            message = message.strip().rpartition("\n")[2].partition(":")[0]
        if record.exc_info and record.exc_info[0] is not None:
            message += f" ({record.exc_info[0].__name__})"
        if self.form == "json":
            return json.dumps({"time": time, "level": record.levelname, "message": message})
        return f"{time} {record.levelname} {one_line(message)}"
