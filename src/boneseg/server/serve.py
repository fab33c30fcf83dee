"""The `serve` command: start-up, logging and shutdown."""

from __future__ import annotations

import ipaddress
import os
import secrets
import shutil
import socket
import stat
import sys
import tempfile
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import uvicorn
from fastapi import FastAPI

from boneseg._util import runtime
from boneseg._util.lock import held
from boneseg._util.logs import log
from boneseg.bundle.shipped import bundled
from boneseg.errors import OutputError, UsageError
from boneseg.server.app import create_app
from boneseg.server.errors import ServerError
from boneseg.server.light_box import LightBox, chosen_models
from boneseg.server.middleware.access_control import is_this_machine
from boneseg.server.middleware.connection_limits import Connection
from boneseg.server.storage.folder import only_server
from boneseg.server.storage.library import Library

GRACE = 8  # seconds for requests in flight at shutdown; `docker stop` allows 10


@dataclass(frozen=True)
class Settings:
    """Options of the server."""

    data: Path | None = None  # None: a temporary folder
    host: str = "127.0.0.1"
    port: int = 8000  # 0: any free port
    model: Path | None = None  # None: those chosen on the page, else the bundled one
    token: str | None = None  # None: generated unless on loopback


def serve(settings: Settings) -> None:
    """Serve until SIGTERM or Ctrl-C. Raises UsageError, OutputError and ServerError at start-up.

    Both shut down gracefully: requests in flight are finished, a retraining keeps its last
    checkpoint for the next start. The exit status after SIGTERM is 0.
    """
    local = is_this_machine(settings.host)
    token = settings.token or (None if local else secrets.token_urlsafe(24))
    # uvicorn shuts down and then raises the signal again, which unwinds this stack
    runtime.on_termination(sys.exit)
    with ExitStack() as stack:
        listening = stack.enter_context(_listen(settings.host, settings.port))
        host = f"[{settings.host}]" if ":" in settings.host else settings.host
        address = f"http://{host}:{listening.getsockname()[1]}"
        library = Library(settings.data or _temporary_folder(stack))
        stack.enter_context(only_server(library.root, address))
        _check_writable(library)
        page, api = chosen_models(library)
        box = LightBox(
            library,
            settings.model or page or bundled(),
            api=settings.model or api or bundled(),
            given=settings.model,
            keeps=settings.data is not None,
        )
        app = create_app(box, token=token)
        stack.callback(log.info, "stopped")
        stack.callback(box.close)
        # a second signal must not interrupt the clean-up
        stack.callback(runtime.ignore_termination)
        server = uvicorn.Server(_configured(app))
        with server.capture_signals():  # a signal stops it, even one that arrives before it runs
            _announce(address, settings, token, local)
            box.begin()
            server.run(sockets=[listening])


def _temporary_folder(stack: ExitStack) -> Path:
    """A data folder that is removed when the stack is unwound."""
    _remove_left()
    return Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="boneseg-")))


def _configured(app: FastAPI) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        http=Connection,
        ws="none",
        log_config=None,
        log_level="error",  # invalid requests are not server errors
        access_log=False,  # it would contain film ids
        server_header=False,
        lifespan="on",
        timeout_graceful_shutdown=GRACE,
    )


def _announce(address: str, settings: Settings, token: str | None, local: bool) -> None:
    """Log the address; a token is logged only if it was generated here."""
    made = token if settings.token is None else None
    page = f"/?token={quote(made, safe='')}" if made else "/"
    log.info(f"the light box: {address}{page}")
    if _is_every_address(settings.host):
        there = f"http://{socket.gethostname()}:{address.rpartition(':')[2]}{page}"
        log.info(f"from other machines, by the name or address of this one: {there}")
    if settings.token is not None:
        log.info("the page asks for the configured token")
    if settings.data is None:
        log.info("nothing is saved: start with --data DIR to save masks and to retrain")
    if not local:
        log.warning("anyone with the token can see the films; the connection is not encrypted")


def _is_every_address(host: str) -> bool:
    """Whether this stands for all addresses, as 0.0.0.0 does, which no other machine can open."""
    with suppress(ValueError):
        return ipaddress.ip_address(host).is_unspecified
    return False


def _listen(host: str, port: int) -> socket.socket:
    try:
        family, kind, number, _, where = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listening = socket.socket(family, kind, number)
    except (OSError, OverflowError):
        raise UsageError(
            f"--host {host} --port {port}: is not an address of this machine"
        ) from None
    try:
        if os.name == "posix":  # on Windows it would let two servers share a port
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(where)
        listening.listen(128)
    except OSError as error:
        listening.close()
        reason = error.strerror or str(error)
        raise ServerError(f"{host}:{port}: {reason}; choose another --port or --host") from None
    return listening


def _remove_left() -> None:
    """Remove the temporary folders, with their films, of servers that were killed."""
    if os.name != "posix":  # no lock tells whether the server still runs
        return
    for lock in Path(tempfile.gettempdir()).glob("boneseg-*/.boneseg/lock"):
        with suppress(OSError, OutputError):
            if not all(map(_is_own_folder, (lock.parent.parent, lock.parent))):
                continue  # anyone can make a folder of this name there
            with held(lock, "a server that starts") as other:
                if other is None:
                    shutil.rmtree(lock.parent.parent, ignore_errors=True)


def _is_own_folder(path: Path) -> bool:
    facts = path.lstat()
    return stat.S_ISDIR(facts.st_mode) and facts.st_uid == os.getuid()


def _check_writable(library: Library) -> None:
    """Fail at start-up for a read-only folder. Raises OutputError."""
    for folder in (library.hidden, library.images, library.masks):
        try:
            with tempfile.TemporaryFile(dir=folder):
                pass
        except OSError as error:
            reason = f"cannot be written ({error.strerror})"
            raise OutputError(f"{folder}: {reason}; give --data a writable folder") from None
