"""The errors of the light box with their HTTP status (RFC 9110, section 15)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from boneseg._util.invalid_value import advice
from boneseg.errors import (
    BonesegError,
    BundleError,
    DatasetError,
    MaskError,
    OutputError,
    RadiographError,
    UsageError,
)

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails


class ServerError(BonesegError):
    """The light box cannot start or cannot serve a request."""

    status = 500


class NotFoundError(ServerError):
    """No such film, version or run, or it was removed."""

    status = 404


class ConflictError(ServerError):
    """The mask was changed in the meantime, or the request conflicts with the current state."""

    status = 409


class TooLargeError(ServerError):
    """The body is too large."""

    status = 413


class MediaTypeError(ServerError):
    """The route does not accept this content type."""

    status = 415


class SlowError(ServerError):
    """The body arrived too slowly or incompletely."""

    status = 408


class BadRequestError(ServerError):
    """The request is malformed."""

    status = 400


class BusyError(ServerError):
    """The queue is full; retry in `seconds`."""

    status = 503

    def __init__(self, message: str, seconds: int) -> None:
        super().__init__(message)
        self.seconds = seconds


class WorkerDiedError(ServerError):
    """The worker process crashed or timed out on a film, which the message names."""

    status = 422


_COMMAND_LINE = re.compile(r"--[a-z]|\bboneseg [a-z]|\bsegment --|\bdicom-seg\b|\bpip install\b")


def page_message(error: BonesegError | str) -> str:
    """An error for the page: without advice that only helps on the command line.

    >>> page_message("knee.dcm: holds 3 frames; choose one with segment --frame N, 1 to 3")
    'knee.dcm: holds 3 frames'
    """
    problem, *advice = str(error).split("; ")
    return "; ".join([problem, *(words for words in advice if not _COMMAND_LINE.search(words))])


def invalid(error: ErrorDetails) -> str:
    """The message for a value that pydantic refuses: where it is, and what to give instead."""
    return f"{'.'.join(map(str, error['loc']))}: {advice(error)}"


def status_of(error: BonesegError) -> int:
    """The HTTP status for any error of boneseg."""
    if isinstance(error, ServerError):
        return error.status
    for kind, status in (
        (UsageError, 400),
        (RadiographError, 422),
        (MaskError, 422),
        (DatasetError, 409),
        (BundleError, 500),
        (OutputError, 507),
    ):
        if isinstance(error, kind):
            return status
    return 500
