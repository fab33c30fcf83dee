"""An S3 server, moto's, in a process of its own, whose bucket can be made full.

with s3_server() as server:
    server.room(5)        # five objects more, then it refuses as Ceph does
    server.room(None)     # no limit
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Thread
from typing import IO

FULL = b"<Error><Code>QuotaExceeded</Code><Message>no space left</Message></Error>"
App = Callable[[dict[str, str], Callable[..., object]], Iterable[bytes]]


@dataclass(frozen=True)
class Server:
    """A server that runs."""

    url: str
    _orders: IO[str]

    @property
    def environment(self) -> dict[str, str]:
        """The environment in which S3 is this server."""
        return {
            "AWS_ACCESS_KEY_ID": "boneseg",
            "AWS_SECRET_ACCESS_KEY": "secret-of-the-test",
            "AWS_ENDPOINT_URL": self.url,
            "AWS_DEFAULT_REGION": "us-east-1",
        }

    def room(self, objects: int | None) -> None:
        """Accept so many objects more; None: any number."""
        self._orders.write(f"{objects}\n")
        self._orders.flush()


@contextmanager
def s3_server() -> Iterator[Server]:
    call = [sys.executable, "-m", "tests.support.s3"]
    with subprocess.Popen(
        call, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        assert process.stdin is not None and process.stdout is not None
        try:
            yield Server(process.stdout.readline().strip(), process.stdin)
        finally:
            process.kill()


# -- in its process -------------------------------------------------------------------------------


class Limited:
    """An application that refuses objects when there is no room for them."""

    def __init__(self, app: App) -> None:
        self._app = app
        self.left: int | None = None

    def __call__(
        self, environ: dict[str, str], start_response: Callable[..., object]
    ) -> Iterable[bytes]:
        is_object = environ["REQUEST_METHOD"] == "PUT" and environ["PATH_INFO"].count("/") > 1
        if not is_object or self.left is None:
            return self._app(environ, start_response)
        if self.left > 0:
            self.left -= 1
            return self._app(environ, start_response)
        environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))  # type: ignore[attr-defined]
        start_response("403 Forbidden", [("Content-Type", "application/xml")])
        return [FULL]


def main() -> None:
    from moto.server import DomainDispatcherApplication, MotoRequestHandler, create_backend_app
    from werkzeug.serving import make_server

    app = Limited(DomainDispatcherApplication(create_backend_app))
    server = make_server("127.0.0.1", 0, app, threaded=True, request_handler=MotoRequestHandler)
    Thread(target=server.serve_forever, daemon=True).start()
    print(f"http://127.0.0.1:{server.server_port}", flush=True)
    for line in sys.stdin:
        app.left = None if line.strip() == "None" else int(line)


if __name__ == "__main__":
    main()
