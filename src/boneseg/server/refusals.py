"""What the light box refuses, each with its HTTP status (RFC 9110, section 15)."""

from __future__ import annotations

from boneseg.errors import (
    BonesegError,
    BundleError,
    DatasetError,
    MaskError,
    OutputError,
    RadiographError,
    UsageError,
)


class ServerError(BonesegError):
    """The light box cannot start, or cannot do what it is asked."""

    status = 500


class NotFoundError(ServerError):
    """There is no such film, version or run, or no longer."""

    status = 404


class ConflictError(ServerError):
    """Another mask was saved in the meantime, or the request does not fit the state."""

    status = 409


class TooLargeError(ServerError):
    """More bytes than are taken."""

    status = 413


class MediaTypeError(ServerError):
    """The body is of a type that this route does not take."""

    status = 415


class SlowError(ServerError):
    """The body came too slowly, or not to its end."""

    status = 408


class BadRequestError(ServerError):
    """The request is not of the form that is asked for."""

    status = 400


class BusyError(ServerError):
    """As many films wait as may; come again in `seconds`."""

    status = 503

    def __init__(self, message: str, seconds: int) -> None:
        super().__init__(message)
        self.seconds = seconds


class WorkerDiedError(ServerError):
    """The process that looked at a film ended over it: a fault of the film, which names it."""

    status = 422


def status_of(error: BonesegError) -> int:
    """The HTTP status for an error of any room."""
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
