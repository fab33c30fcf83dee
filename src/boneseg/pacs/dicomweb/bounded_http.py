"""HTTP requests with limits on the size and the duration of the response."""

from __future__ import annotations

import os
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from io import BytesIO
from typing import BinaryIO, TypedDict, Unpack

import httpx
from httpcore import NetworkStream

from boneseg.errors import UsageError

TIMEOUT = httpx.Timeout(30, connect=10)  # seconds without a byte
LEAST_RATE, GRACE = 8192, 30.0  # least bytes per second of a response, after so many seconds
HEADERS, LONGEST = 60.0, 600.0  # seconds for the headers of a response, and for all of it


class TooLongError(Exception):
    """A response is longer than its limit."""


class Options(TypedDict, total=False):
    """What is sent besides the address."""

    headers: dict[str, str]
    params: dict[str, str]
    content: bytes


class BoundedHttp:
    """A client for requests to the addresses below a URL."""

    def __init__(
        self,
        url: str,
        *,
        auth: httpx.Auth | None,
        headers: dict[str, str],
        transport: httpx.BaseTransport | None,
    ) -> None:
        self._stream: NetworkStream | None = None  # of the newest connection
        self._http = httpx.Client(
            base_url=url.rstrip("/") + "/",
            auth=auth,
            headers=headers,
            timeout=TIMEOUT,
            transport=transport,
            verify=_certificates(),
            trust_env=False,  # a proxy of the environment would get films and password
        )

    def close(self) -> None:
        self._http.close()

    def request(
        self,
        method: str,
        where: str,
        into: BinaryIO | None,
        limit: int,
        **options: Unpack[Options],
    ) -> httpx.Response:
        """The response to a request; its body may go `into` a file. Of errors, only 409 has a body.

        Raises TooLongError over `limit` bytes, and httpx.ReadTimeout for a slow response.
        """
        sink = into if into is not None else BytesIO()
        with ExitStack() as stack:
            with self._cut_after(HEADERS):
                extensions = {"trace": self._trace}
                sent = self._http.stream(method, where, extensions=extensions, **options)
                response = stack.enter_context(sent)
            stack.enter_context(self._cut_after(LONGEST))
            if response.status_code < 300 or response.status_code == 409:
                _read(response, sink, limit)
            headers = {k: v for k, v in response.headers.items() if k != "content-encoding"}
            headers.pop("content-length", None)
            content = sink.getvalue() if isinstance(sink, BytesIO) else b""
            return httpx.Response(response.status_code, headers=headers, content=content)

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

    def _trace(self, event: str, details: dict[str, object]) -> None:
        """Keep the stream of the newest connection (the "trace" extension of httpx)."""
        if event in ("connection.connect_tcp.complete", "connection.start_tls.complete"):
            stream = details.get("return_value")
            self._stream = stream if isinstance(stream, NetworkStream) else None


def _certificates() -> ssl.SSLContext:
    """The authorities that are trusted, with those of SSL_CERT_FILE. Raises UsageError."""
    try:
        return httpx.create_ssl_context()
    except OSError as error:
        place = os.environ.get("SSL_CERT_FILE", "")
        reason = error.strerror or "no certificates"
        raise UsageError(
            f"SSL_CERT_FILE={place}: cannot be read ({reason}); set it to a PEM file"
        ) from None


def _read(response: httpx.Response, sink: BinaryIO, limit: int) -> None:
    """Write the body of a response to a file. Raises TooLongError and httpx.ReadTimeout."""
    started, size = time.monotonic(), 0
    sink.seek(0)
    sink.truncate()
    for part in response.iter_bytes():
        size += len(part)
        if size > limit:
            raise TooLongError
        sink.write(part)
        if time.monotonic() - started > GRACE + size / LEAST_RATE:
            raise httpx.ReadTimeout("the response is too slow")
