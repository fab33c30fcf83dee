"""HTTP with retries, for a server that may be unreachable, busy or failing.

Failed requests are retried with exponential backoff. Where one request keeps failing while the
server responds to another, only that request is given up.
"""

from __future__ import annotations

import ssl
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self, Unpack

import httpx

from boneseg._util.logs import log
from boneseg.errors import ServiceError, UsageError
from boneseg.pacs.dicomweb.bounded_http import BoundedHttp, Options, TooLongError
from boneseg.pacs.dicomweb.credentials import bearer_token, netrc_auth

MAX_JSON = 64 << 20  # bytes of one search response
DICOM_JSON = {"Accept": "application/dicom+json, application/json;q=0.9"}
LONGEST_PAUSE = 60.0  # seconds between two attempts
ATTEMPTS, PROBE_AFTER = 3, 20.0  # attempts, or seconds, before another request probes the server
GIVE_UP_AFTER = 60.0  # seconds for a server that fails searches with 500
_BUSY = frozenset((408, 425, 429, 500, 502, 503, 504))  # may succeed later
_BROKEN, _UNAUTHORISED, _FORBIDDEN = 500, 401, 403


class UnreachableError(ServiceError):
    """The server did not respond before the timeout."""


class AccessError(ServiceError):
    """Authentication failed, or the server's certificate is not trusted."""


class _RetryableError(Exception):
    """A request failed, but may succeed later. status: of the response, 0 where there is none."""

    def __init__(self, reason: str, status: int = 0) -> None:
        super().__init__(reason)
        self.status = status


@dataclass
class _Attempts:
    """The attempts at one request."""

    started: float = field(default_factory=time.monotonic)
    failed: int = 0
    pause: float = 1.0  # before the next attempt

    @property
    def waited(self) -> float:
        return time.monotonic() - self.started


class Connection(AbstractContextManager["Connection"]):
    """A client that retries for up to `patience` seconds while the server does not respond.

    netrc: a netrc file; token: a file that holds a bearer token. Each retry is logged. Raises
    UsageError for an invalid URL or credentials file.
    """

    def __init__(
        self,
        url: str,
        *,
        netrc: Path | None = None,
        token: Path | None = None,
        patience: float = 300,
        sleep: Callable[[float], None] = time.sleep,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self.patience, self._sleep = patience, sleep
        place = _parsed(url)
        self.name = str(place.copy_with(query=None, fragment=None))
        headers = {"Authorization": f"Bearer {bearer_token(token)}"} if token is not None else {}
        auth = None if token is not None else netrc_auth(netrc)
        if place.scheme == "http" and place.host not in ("127.0.0.1", "::1", "localhost"):
            log.warning(
                f"{self.name}: the connection is not encrypted; films and password can be read on "
                "the network"
            )
        self._http = BoundedHttp(self.name, auth=auth, headers=headers, transport=transport)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._http.close()

    def request(
        self,
        method: str,
        where: str,
        *,
        also: int = 0,
        into: BinaryIO | None = None,
        limit: int = MAX_JSON,
        **options: Unpack[Options],
    ) -> httpx.Response:
        """A response of status 2xx (or `also`), with retries; its body may go `into` a file.

        Raises ServiceError, or one of its subclasses here, and TooLongError.
        """
        attempts = _Attempts()
        while True:
            try:
                response = self._attempt(method, where, also, into, limit, **options)
            except _RetryableError as error:
                attempts.failed += 1
                self._give_up_if_hopeless(where, attempts, error)
                log.warning(f"{self.name}: {error}; trying again in {attempts.pause:.0f} s")
                self._sleep(attempts.pause)
                attempts.pause = min(2 * attempts.pause, LONGEST_PAUSE)
            else:
                if attempts.failed:
                    log.info(f"{self.name}: responds again")
                return response

    def _attempt(
        self,
        method: str,
        where: str,
        also: int,
        into: BinaryIO | None,
        limit: int,
        **options: Unpack[Options],
    ) -> httpx.Response:
        """One attempt. Raises _RetryableError, ServiceError and TooLongError."""
        try:
            response = self._http.request(method, where, into, limit, **options)
        except httpx.TransportError as error:
            if _is_untrusted(error):  # not worth a retry
                raise AccessError(
                    f"{self.name}: its certificate is not trusted; set SSL_CERT_FILE to the "
                    "file of its certificate authority"
                ) from None
            unreachable = isinstance(error, httpx.ConnectError | httpx.ConnectTimeout)
            reason = "cannot be reached" if unreachable else "stops responding"
            raise _RetryableError(reason) from None
        except (httpx.HTTPError, httpx.InvalidURL, ValueError):  # raised by h11 or a codec
            raise _RetryableError("sends invalid HTTP") from None
        status = response.status_code
        if response.is_success or status == also:
            return response
        if status in _BUSY:
            raise _RetryableError(f"responds with {status}", status)
        raise self._refusal(where, status)

    def _give_up_if_hopeless(self, where: str, attempts: _Attempts, error: _RetryableError) -> None:
        """Raise ServiceError where another attempt is not worth its pause."""
        waited = attempts.waited
        if where != "studies":
            tried = attempts.failed >= ATTEMPTS or waited > PROBE_AFTER
            if tried and self._responds_elsewhere(where):
                raise ServiceError(f"{self.name}: {error}, for this request only")
        elif error.status == _BROKEN and waited + attempts.pause > GIVE_UP_AFTER:
            raise ServiceError(f"{self.name}: refuses the search ({_BROKEN}); see its own log")
        if waited + attempts.pause > self.patience:
            raise UnreachableError(
                f"{self.name}: {error}; check that it is running, then run this again: "
                "films already stored are skipped"
            )

    def _refusal(self, where: str, status: int) -> ServiceError:
        """The error of a refused request: AccessError only if other requests are refused too."""
        error = ServiceError(f"{self.name}: {_reason(status)}")
        if status not in (_UNAUTHORISED, _FORBIDDEN):
            return error
        elsewhere = where != "studies" and self._responds_elsewhere(where)
        return error if elsewhere else AccessError(str(error))

    def _responds_elsewhere(self, where: str) -> bool:
        """Whether the server responds to a search one level above a request, tried once."""
        series = "/".join((*where.split("/")[:2], "series"))
        above = "studies" if where == series else series
        options: Options = {"headers": DICOM_JSON, "params": {"limit": "1"}}
        try:
            return self._http.request("GET", above, None, MAX_JSON, **options).is_success
        except TooLongError:
            return True
        except Exception:
            return False


def _parsed(url: str) -> httpx.URL:
    """The URL of a DICOMweb service. Raises UsageError."""
    try:
        place = httpx.URL(url)
    except httpx.InvalidURL:
        place = httpx.URL()
    if place.scheme not in ("http", "https") or not place.host:
        raise UsageError("pacs: invalid URL; give that of a DICOMweb service, https://HOST/ROOT")
    if place.userinfo:  # visible in the process list
        raise UsageError("pacs: do not put the password into the URL; use --netrc FILE")
    return place


def _reason(status: int) -> str:
    if status in (_UNAUTHORISED, _FORBIDDEN):
        problem = "authentication failed" if status == _UNAUTHORISED else "access denied"
        return f"{problem} ({status}); check the --netrc or --token file"
    if 300 <= status < 400:
        return f"redirects to another address ({status}); use that one"
    if status == 404:
        return "has no such DICOMweb service or object (404); check the URL and the UID"
    return f"refuses the request ({status}); see the server's log"


def _is_untrusted(error: BaseException | None) -> bool:
    """Whether an error or one of its causes is a failed certificate verification."""
    while error is not None and not isinstance(error, ssl.SSLCertVerificationError):
        error = error.__cause__ or error.__context__
    return error is not None
