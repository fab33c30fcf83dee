"""boneseg serve refuses to start in one line."""

from __future__ import annotations

import json
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import httpx
import pytest

from boneseg.bundle.shipped import sample_films
from boneseg.server.serve import Settings, _announce, _remove_left
from tests.support.lightbox import COMMAND, FOOT, address_of, fill, refused, served


def test_a_read_only_folder_is_refused_in_one_line(disk: Path) -> None:
    fill(disk / "films", "hand")
    subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
    done = refused("--data", disk / "films")
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "Read-only file system" in done.stderr and "give --data" in done.stderr


def test_a_port_in_use_and_a_second_server_are_refused_in_one_line(tmp_path: Path) -> None:
    folder = fill(tmp_path / "films", "hand")
    with served("--data", folder) as address:
        port = address.rstrip("/").rpartition(":")[2]
        done = refused("--port", port)
        assert (done.returncode, done.stderr.count("\n")) == (1, 1)
        assert "in use; choose another --port" in done.stderr
        done = refused("--port", 0, "--data", folder)
        assert (done.returncode, done.stderr.count("\n")) == (1, 1)
        assert "is open in another light box (" + address.rstrip("/") in done.stderr


@pytest.mark.parametrize(
    ("words", "status", "told"),
    [
        (("--data", FOOT), 2, "is not a folder"),
        (("--data", sample_films()), 2, "holds films but no folder images/"),
        (("--model", sample_films()), 1, "is not a bundle"),
        (("--host", "256.1.1.1"), 2, "is not an address"),
        (("--port", "70000"), 2, "--port"),
    ],
)
def test_an_invalid_option_is_refused_in_one_line(words: tuple, status: int, told: str) -> None:
    if "--port" not in words:
        words = ("--port", 0, *words)
    done = refused(*words)
    assert done.returncode == status
    assert told in done.stderr and "Traceback" not in done.stderr


@pytest.mark.parametrize("missing", ["fastapi", "uvicorn", "python_multipart"])
def test_a_missing_library_is_named_with_its_extra(missing: str) -> None:
    code = f"import sys; sys.modules['{missing}'] = None; from boneseg.cli import main; main()"
    call = [sys.executable, "-c", code, "serve"]
    done = subprocess.run(call, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr == f'error: {missing} is not installed; pip install "boneseg[serve]"\n'


def test_addresses_other_than_loopback_require_a_token() -> None:
    with served("--host", "0.0.0.0") as address, httpx.Client(follow_redirects=True) as browser:
        assert "/?token=" in address
        assert browser.get(address.replace("0.0.0.0", "127.0.0.1")).status_code == 200


@pytest.mark.parametrize(
    ("host", "more"), [("0.0.0.0", 1), ("::", 1), ("127.0.0.1", 0), ("localhost", 0)]
)
def test_where_it_listens_everywhere_the_address_for_others_is_logged(
    host: str, more: int, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(socket, "gethostname", lambda: "reading-room")
    address = f"http://[{host}]:8123" if ":" in host else f"http://{host}:8123"
    for token, made in ((None, "a+b"), ("configured", "configured")):
        caplog.clear()
        with caplog.at_level("INFO", logger="boneseg"):
            _announce(address, Settings(Path("data"), host, token=token), made, local=not more)
        page = "/?token=a%2Bb" if token is None else "/"
        said = [message for message in caplog.messages if "http://" in message]
        assert said[0] == f"the light box: {address}{page}"
        assert [line.endswith(f": http://reading-room:8123{page}") for line in said[1:]] == (
            [True] * more
        )


def test_a_configured_token_opens_the_page_and_is_not_printed() -> None:
    token = 'a+b;c&d=%41 #"'
    with served("--token", token) as address, httpx.Client(follow_redirects=True) as browser:
        assert address.endswith("/") and "token" not in address
        assert browser.get(address, params={"token": token}).status_code == 200
        health = address + "api/health"
        assert browser.get(health).status_code == 200  # by the cookie
        bearer = {"Authorization": f"Bearer {token}"}
        assert httpx.get(health, headers=bearer).status_code == 200
        assert httpx.get(health).status_code == 401


# -- the log -----------------------------------------------------------------------------------

TIME = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}[+-]\d\d:\d\d"


@pytest.mark.parametrize(("name", "status"), [("SIGTERM", 0), ("SIGINT", 130)])
def test_a_signal_before_the_server_runs_stops_it_without_a_warning(name: str, status: int) -> None:
    early = f"""
import signal
import uvicorn
from boneseg.cli import main
loop_factory = uvicorn.Config.get_loop_factory
def signalled(config):  # called when serve() was called, but does not run yet
    signal.raise_signal(signal.{name})
    return loop_factory(config)
uvicorn.Config.get_loop_factory = signalled
main()
"""
    call = [sys.executable, "-W", "always", "-c", early, "serve", "--port", "0"]
    done = subprocess.run(call, capture_output=True, text=True, timeout=60)
    assert done.returncode == status
    assert "Warning" not in done.stderr and "Traceback" not in done.stderr


@pytest.mark.parametrize("delay", [0.1, 0.3, 0.6, 1.0])
def test_a_server_that_is_told_to_stop_while_it_starts_has_not_failed(delay: float) -> None:
    call = [*COMMAND, "serve", "--port", "0"]
    with subprocess.Popen(call, stderr=subprocess.PIPE, text=True) as server:
        time.sleep(delay)
        server.terminate()
        _, said = server.communicate(timeout=30)
    assert server.returncode in (0, -signal.SIGTERM), said  # before and after Python has begun


def test_a_server_whose_terminal_is_closed_stops_as_if_told_to() -> None:
    with subprocess.Popen(
        [*COMMAND, "serve", "--port", "0"], stderr=subprocess.PIPE, text=True
    ) as server:
        address_of(server)
        server.send_signal(signal.SIGHUP)
        _, said = server.communicate(timeout=30)
    assert server.returncode == 0
    first = rf"({TIME} INFO nothing is saved.*\n)?"  # it may have been read with the address
    assert re.fullmatch(rf"{first}{TIME} INFO stopped\n", said), said


def test_folders_of_others_in_the_temporary_one_are_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Anyone can make a folder of this name there, with a link to a file of the user."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    keys, left = tmp_path / "authorized_keys", tmp_path / "boneseg-left" / ".boneseg"
    keys.write_text("my key")
    for place in (left, tmp_path / "boneseg-linked" / ".boneseg", tmp_path / "elsewhere"):
        place.mkdir(parents=True)
    (left / "lock").touch()
    (tmp_path / "boneseg-linked" / ".boneseg" / "lock").symlink_to(keys)
    (tmp_path / "boneseg-whole").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere" / ".boneseg").mkdir()
    (tmp_path / "elsewhere" / ".boneseg" / "lock").touch()
    _remove_left()
    assert keys.read_text() == "my key"
    assert (tmp_path / "elsewhere" / ".boneseg" / "lock").exists()
    assert not left.parent.exists()  # of a server that was killed


@pytest.mark.parametrize("form", ["text", "json"])
def test_every_line_of_the_log_has_a_time_and_a_level(tmp_path: Path, form: str) -> None:
    call = [*COMMAND, "serve", "--port", "0", "--log-format", form, "--host", "0.0.0.0"]
    with subprocess.Popen(call, stderr=subprocess.PIPE, text=True) as server:
        assert server.stderr is not None
        lines = [server.stderr.readline() for _ in range(4)]
        server.terminate()
        lines += server.communicate(timeout=30)[1].splitlines()
    assert server.returncode == 0
    levels = []
    for line in lines:
        if form == "json":
            record = json.loads(line)
            assert re.fullmatch(TIME, record["time"]) and record["message"]
            levels.append(record["level"])
        else:
            found = re.fullmatch(rf"{TIME} ([A-Z]+) \S.*\n?", line)
            assert found, line
            levels.append(found[1])
    assert levels == ["INFO", "INFO", "INFO", "WARNING", "INFO"]
    done = refused("--log-format", "xml")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
