"""A DICOMweb server of one study, whose first film it delivers with a chosen fault."""

from __future__ import annotations

import http.server
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any
from urllib.parse import parse_qs, urlparse

KIND = 'multipart/related; type="application/dicom"; boundary=B'
STUDY, SERIES = "1.2.3", "1.2.3.4"


class WebPacs:
    """films: by their SOP Instance UIDs, in the order that they are listed. `asked`, `stored`: the
    films that were asked for, and how many segmentations came."""

    def __init__(self, films: dict[str, bytes], fault: str) -> None:
        self.films, self.fault = films, fault
        self.asked: list[str] = []
        self.stored = 0
        self.ended = threading.Event()
        self.url = ""


def _value(text: object) -> dict[str, Any]:
    return {"vr": "UI", "Value": [text]}


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    pacs: WebPacs

    def log_message(self, *words: object) -> None:
        pass

    def give(self, code: int, body: bytes, kind: str = "application/dicom+json") -> None:
        self.head(code, len(body), kind)
        self.wfile.write(body)

    def head(self, code: int, length: int | None, kind: str = KIND) -> None:
        self.send_response(code)
        self.send_header("Content-Type", kind)
        if length is None:
            self.send_header("Connection", "close")
            self.close_connection = True
        else:
            self.send_header("Content-Length", str(length))
        self.end_headers()

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.pacs.stored += 1
        self.give(200, b"null")

    def do_GET(self) -> None:
        place = urlparse(self.path)
        first = parse_qs(place.query).get("offset", ["0"]) == ["0"]
        level = place.path.rsplit("/", 1)[-1]
        rows: list[dict[str, Any]] = {
            "studies": [{"0020000D": _value(STUDY), "00201208": _value(len(self.pacs.films))}],
            "series": [{"0020000E": _value(SERIES), "00080060": _value("DX")}],
            "instances": [{"00080018": _value(uid)} for uid in self.pacs.films],
        }.get(level, [])
        if rows:
            self.give(200, json.dumps(rows if first else []).encode())
            return
        self.pacs.asked.append(level)
        with suppress(OSError):
            self.film(level)

    def film(self, uid: str) -> None:
        body = b"--B\r\nContent-Type: application/dicom\r\n\r\n" + self.pacs.films[uid]
        fault = self.pacs.fault if uid == next(iter(self.pacs.films)) else ""
        if fault.isdecimal():
            self.give(int(fault), b"")
        elif fault == "cut":
            self.head(200, len(body))
            self.wfile.write(body[: len(body) // 2])
            self.close_connection = True
        elif fault == "long":  # and the connection stays open
            self.head(200, len(body) + 999)
            self.wfile.write(body)
            self.pacs.ended.wait(60)
        elif fault == "no end":  # closed in the midst, without a length that would tell
            self.head(200, None)
            self.wfile.write(body[: len(body) // 2])
        elif fault == "drip":
            self.head(200, 1 << 30)
            while not self.pacs.ended.is_set():
                self.wfile.write(b"x")
                self.wfile.flush()
                time.sleep(0.05)
        elif fault in ("headers", "1xx", "chunk"):
            begin = {"headers": b"HTTP/1.1 200 OK\r\nX: ", "1xx": b""}
            begin["chunk"] = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1;"
            self.wfile.write(begin[fault])
            while not self.pacs.ended.is_set():
                self.wfile.write(b"HTTP/1.1 103 Early\r\n\r\n" if fault == "1xx" else b"x")
                self.wfile.flush()
                time.sleep(0.05)
        elif fault == "other":
            other = body.replace(self.pacs.films[uid], list(self.pacs.films.values())[-1])
            self.give(200, other + b"\r\n--B--\r\n", KIND)
        elif fault == "kind":  # of another type than it is
            self.give(200, body + b"\r\n--B--\r\n")
        elif fault == "html":
            self.give(200, b"<html>sign in</html>", "text/html")
        elif fault == "empty":
            self.give(200, b"", KIND)
        elif fault == "gzip":
            self.send_response(200)
            self.send_header("Content-Encoding", "gzip")
            self.send_header("Content-Length", "9")
            self.end_headers()
            self.wfile.write(b"not a zip")
        elif fault == "head":
            self.wfile.write(b"HTTP/1.1 abc\r\n\r\n")
            self.close_connection = True
        else:
            self.give(200, body + b"\r\n--B--\r\n", KIND)


@contextmanager
def serving(films: dict[str, bytes], fault: str = "") -> Iterator[WebPacs]:
    """The server on loopback."""
    pacs = WebPacs(films, fault)
    handler = type("Handler", (_Handler,), {"pacs": pacs})
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    pacs.url = f"http://127.0.0.1:{server.server_port}/dicom-web"
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    try:
        yield pacs
    finally:
        pacs.ended.set()
        server.shutdown()
        server.server_close()
