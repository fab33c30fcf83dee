"""Mutated requests to the HTTP API: what is sent, and which answers are findings."""

from __future__ import annotations

import atexit
import json
import sys
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from types import ModuleType, SimpleNamespace

import pytest

from tests.support import ROOT

MASK = b"\x89PNG of a mask"


class Handler(BaseHTTPRequestHandler):
    """Answers on a connection with these statuses in turn, or, where one is 0, ends it."""

    protocol_version = "HTTP/1.1"
    statuses: tuple[int, ...] = ()
    answered = 0
    bodies: list[bytes]

    def do_PUT(self) -> None:
        self.bodies.append(self.rfile.read(int(self.headers.get("Content-Length") or 0)))
        status = self.statuses[self.answered % len(self.statuses)]
        self.answered += 1
        if status == 0:
            self.close_connection = True
            return
        self.send_response(status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def hooks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """The module in a folder as `api.py` makes it; schemathesis is not needed for mutations."""
    (tmp_path / "films.json").write_text(json.dumps(["0a1b"]))
    (tmp_path / "mask.png").write_bytes(MASK)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(ROOT / "fuzz")
    monkeypatch.setitem(sys.modules, "schemathesis", SimpleNamespace(hook=lambda call: call))
    monkeypatch.delitem(sys.modules, "api_hooks", raising=False)
    import api_hooks

    yield api_hooks
    api_hooks.line.end()
    atexit.unregister(api_hooks.save)
    sys.modules.pop("api_hooks")


def sent(hooks: ModuleType, *statuses: int, times: int = 60) -> list[bytes]:
    """Mutations of a request to a server that answers so; the bodies that arrived as they are."""
    handler = type("Answering", (Handler,), {"statuses": statuses, "bodies": []})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_port}/api/films/0a1b/mask?state=draft"
        for _ in range(times):
            hooks.send_mutant("PUT", address, {"Content-Type": "image/png"}, b"a mask")
        server.shutdown()
    bodies: list[bytes] = handler.bodies  # type: ignore[attr-defined]
    return bodies


def test_bodies_are_mutations_of_the_request_s_and_of_a_mask(hooks: ModuleType) -> None:
    bodies = sent(hooks, 200, 422)
    assert len(set(bodies)) > 20
    assert any(b"PNG of" in body for body in bodies) and any(b"a m" in body for body in bodies)
    assert hooks.counts["read"] > 10 and hooks.counts["refused"] > 10
    assert hooks.counts["read"] + hooks.counts["refused"] == 60
    assert hooks.counts["faults"] == []


def test_a_fault_of_the_server_is_a_finding_with_its_request(hooks: ModuleType) -> None:
    sent(hooks, 500)
    assert len(hooks.counts["faults"]) == hooks.FAULTS
    assert all(one.startswith("status 500: b'PUT /") for one in hooks.counts["faults"])


def test_a_busy_and_a_full_server_are_none(hooks: ModuleType) -> None:
    sent(hooks, 503, 507)
    assert hooks.counts["faults"] == [] and hooks.counts["refused"] == 60


def test_a_request_is_sent_again_where_an_idle_connection_has_ended(hooks: ModuleType) -> None:
    sent(hooks, 200, 0)
    assert hooks.counts["faults"] == []


def test_a_server_that_hangs_up_is_a_finding(hooks: ModuleType) -> None:
    sent(hooks, 0)
    assert hooks.counts["faults"][0].startswith("no answer: b'PUT /")


def test_the_films_that_there_are_get_two_thirds_of_the_requests(hooks: ModuleType) -> None:
    asked = SimpleNamespace(operation=SimpleNamespace(method="get"))
    names = [hooks.map_path_parameters(asked, {"film": str(n)})["film"] for n in range(300)]
    assert 150 < names.count("0a1b") < 250
    asked.operation.method = "delete"
    assert hooks.map_path_parameters(asked, {"film": "7"}) == {"film": "7"}
