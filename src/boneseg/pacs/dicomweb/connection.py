"""HTTP with retries, for a server that may be unreachable, busy or failing.

Failed requests are retried with exponential backoff. Where one request keeps failing while the
server responds to another, only that request is given up.
"""

from __future__ import annotations

import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from io import BytesIO
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Self

import httpx

from boneseg._util.logs import log
from boneseg.errors import ServiceError, UsageError
from boneseg.pacs.dicomweb.credentials import bearer_token, netrc_auth

MAX_JSON = 64 << 20  # bytes of one search response
DICOM_JSON = {"Accept": "application/dicom+json, application/json;q=0.9"}
TIMEOUT = httpx.Timeout(30, connect=10)  # seconds without a byte
SLOWEST, GRACE = 8192, 30.0  # least bytes per second of a response, after so many seconds
HEADERS, LONGEST = 60.0, 600.0  # seconds for the headers of a response, and for all of it
LONGEST_PAUSE = 60.0  # seconds between two attempts
ATTEMPTS, PATIENCE = 3, 20.0  # attempts, or seconds, before another request probes the server
BROKEN_PATIENCE = 60.0  # seconds for a server that fails searches with 500
_BUSY = frozenset((408, 425, 429, 500, 502, 503, 504))  # may succeed later
_BROKEN, _UNKNOWN_USER, _FORBIDDEN = 500, 401, 403


class GoneError(ServiceError):
    """The server did not respond before the timeout."""


class ShutOutError(ServiceError):
    """Authentication failed, or the server's certificate is not trusted."""


class TooLongError(Exception):
    """A response is longer than its limit."""


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
        try:
            place = httpx.URL(url)
        except httpx.InvalidURL:
            place = httpx.URL()
        if place.scheme not in ("http", "https") or not place.host:
            raise UsageError(
                "pacs: invalid URL; give that of a DICOMweb service, https://HOST/ROOT"
            )
        if place.userinfo:  # visible in the process list
            raise UsageError("pacs: do not put the password into the URL; use --netrc FILE")
        self.name = str(place.copy_with(query=None, fragment=None))
        headers = {"Authorization": f"Bearer {bearer_token(token)}"} if token is not None else {}
        auth = None if token is not None else netrc_auth(netrc)
        if place.scheme == "http" and place.host not in ("127.0.0.1", "::1", "localhost"):
            log.warning(
                f"{self.name}: the connection is not encrypted; films and password can be read on "
                "the network"
            )
        self._stream: Any = None
        self._traced = {"trace": self._trace}
        base = self.name.rstrip("/") + "/"
        self._http = httpx.Client(
            base_url=base, auth=auth, headers=headers, timeout=TIMEOUT, transport=transport
        )

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def ask(
        self,
        method: str,
        where: str,
        *,
        also: int = 0,
        into: BinaryIO | None = None,
        limit: int = MAX_JSON,
        **words: Any,
    ) -> httpx.Response:
        """A response of status 2xx (or `also`), with retries; its body may go `into` a file.

        Raises ServiceError, or one of its subclasses here, and TooLongError.
        """
        started, pause, attempts, lost = time.monotonic(), 1.0, 0, False
        while True:
            attempts += 1
            try:
                answer = self._answer(method, where, into, limit, **words)
                if answer.is_success or answer.status_code == also:
                    if lost:
                        log.info(f"{self.name}: responds again")
                    return answer
                reason, status = f"responds with {answer.status_code}", answer.status_code
                if status not in _BUSY:
                    raise self._refusal(where, status)
            except httpx.TransportError as error:
                if _is_untrusted(error):  # not worth a retry
                    raise ShutOutError(
                        f"{self.name}: its certificate is not trusted; set SSL_CERT_FILE to the "
                        "file of its certificate authority"
                    ) from None
                reason, status = "cannot be reached" if _is_away(error) else "stops responding", 0
            except (httpx.HTTPError, httpx.InvalidURL, ValueError):  # raised by h11 or a codec
                reason, status = "sends invalid HTTP", 0
            waited = time.monotonic() - started
            if where != "studies":
                if (attempts >= ATTEMPTS or waited > PATIENCE) and self._answers_beside(where):
                    raise ServiceError(f"{self.name}: {reason}, for this request only")
            elif status == _BROKEN and waited + pause > BROKEN_PATIENCE:
                raise ServiceError(f"{self.name}: refuses the search ({status}); see its own log")
            if waited + pause > self.patience:
                raise GoneError(
                    f"{self.name}: {reason}; check that it is running, then run this again: "
                    "films already stored are skipped"
                )
            log.warning(f"{self.name}: {reason}; trying again in {pause:.0f} s")
            lost = True
            self._sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE)

    def _refusal(self, where: str, status: int) -> ServiceError:
        """The error of a refused request: ShutOutError only if other requests are refused too."""
        error = ServiceError(f"{self.name}: {_reason(status)}")
        if status not in (_UNKNOWN_USER, _FORBIDDEN):
            return error
        beside = where != "studies" and self._answers_beside(where)
        return error if beside else ShutOutError(str(error))

    def _answers_beside(self, where: str) -> bool:
        """Whether the server responds to a search one level above a request, tried once."""
        series = "/".join((*where.split("/")[:2], "series"))
        words = {"headers": DICOM_JSON, "params": {"limit": "1"}}
        try:
            above = "studies" if where == series else series
            return self._answer("GET", above, None, MAX_JSON, **words).is_success
        except TooLongError:
            return True
        except Exception:
            return False

    def _answer(
        self, method: str, where: str, into: BinaryIO | None, limit: int, **words: Any
    ) -> httpx.Response:
        """One attempt. The body is read unless the status is an error.

        Raises TooLongError over `limit` bytes, and httpx.ReadTimeout for a slow response.
        """
        started, size = time.monotonic(), 0
        sink = into if into is not None else BytesIO()
        with ExitStack() as stack:
            with self._cut_after(HEADERS):
                asked = self._http.stream(method, where, extensions=self._traced, **words)
                answer = stack.enter_context(asked)
            stack.enter_context(self._cut_after(LONGEST))
            if answer.status_code < 300 or answer.status_code == 409:
                sink.seek(0)
                sink.truncate()
                for part in answer.iter_bytes():
                    size += len(part)
                    if size > limit:
                        raise TooLongError
                    sink.write(part)
                    if time.monotonic() - started > GRACE + size / SLOWEST:
                        raise httpx.ReadTimeout("the response is too slow")
            headers = {k: v for k, v in answer.headers.items() if k != "content-encoding"}
            headers.pop("content-length", None)
            content = sink.getvalue() if isinstance(sink, BytesIO) else b""
            return httpx.Response(answer.status_code, headers=headers, content=content)

    @contextmanager
    def _cut_after(self, seconds: float) -> Iterator[None]:
        """Close the connection after `seconds`: httpx timeouts restart with each byte."""
        timer = threading.Timer(seconds, self._cut)
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()

    def _cut(self) -> None:
        connection = self._stream.get_extra_info("socket") if self._stream is not None else None
        if connection is not None:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def _trace(self, event: str, details: dict[str, Any]) -> None:
        """Keep the stream of the newest connection (the "trace" extension of httpx)."""
        if event in ("connection.connect_tcp.complete", "connection.start_tls.complete"):
            self._stream = details.get("return_value")


def _reason(status: int) -> str:
    if status in (_UNKNOWN_USER, _FORBIDDEN):
        problem = "authentication failed" if status == _UNKNOWN_USER else "access denied"
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


def _is_away(error: httpx.TransportError) -> bool:
    return isinstance(error, httpx.ConnectError | httpx.ConnectTimeout)
