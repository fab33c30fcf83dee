"""The access token: from a private file, and never printed."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import httpx
import pytest

from boneseg.errors import UsageError
from boneseg.server.token import chosen_token
from tests.support.lightbox import COMMAND, address_of, refused

# -- who may ask -------------------------------------------------------------------------------


def secret_file(folder: Path, content: bytes = b"s3cret\n", mode: int = 0o600) -> Path:
    path = folder / "token"
    path.write_bytes(content)
    path.chmod(mode)
    return path


@pytest.mark.parametrize("way", ["file", "environment", "option"])
def test_a_token_is_accepted_and_never_printed(
    tmp_path: Path, way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = {"file": ("--token-file", secret_file(tmp_path)), "option": ("--token", "s3cret")}
    env = dict(os.environ) | ({"BONESEG_TOKEN": "s3cret"} if way == "environment" else {})
    call = [*COMMAND, "serve", "--port", "0", *map(str, words.get(way, ()))]
    with subprocess.Popen(call, stderr=subprocess.PIPE, text=True, env=env) as server:
        address = address_of(server)
        assert httpx.get(f"{address}api/health").status_code == 401
        bearer = {"Authorization": "Bearer s3cret"}
        assert httpx.get(f"{address}api/health", headers=bearer).status_code == 200
        challenge = httpx.get(address)
        assert challenge.headers["www-authenticate"].startswith("Bearer")
        server.terminate()
        _, said = server.communicate(timeout=30)
    assert server.returncode == 0
    assert "s3cret" not in address + said
    if way != "option":
        assert "s3cret" not in " ".join(call)


@pytest.mark.parametrize(
    ("option", "file", "variable", "told"),
    [
        ("a", "f", None, "--token and --token-file: give the token in one way only"),
        ("a", None, "a", "--token and BONESEG_TOKEN: give"),
        (None, "f", "b", "--token-file and BONESEG_TOKEN: give"),
        ("", None, None, "--token: the token must be"),
        (None, None, "", "BONESEG_TOKEN: the token must be"),
        ("ä", None, None, "--token: the token must be"),
        (None, None, "a\nb", "BONESEG_TOKEN: the token must be"),
        ("a" * 1001, None, None, "--token: the token must be"),
    ],
)
def test_invalid_tokens_are_refused(
    tmp_path: Path, option: str | None, file: str | None, variable: str | None, told: str
) -> None:
    path = secret_file(tmp_path) if file else None
    environment = {} if variable is None else {"BONESEG_TOKEN": variable}
    with pytest.raises(UsageError) as refusal:
        chosen_token(option, path, environment)
    assert str(refusal.value).startswith(told)
    assert not environment


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o620, 0o777])
def test_a_token_file_that_others_can_read_is_refused(tmp_path: Path, mode: int) -> None:
    path = secret_file(tmp_path, mode=mode)
    with pytest.raises(UsageError, match=r"token: can be read by other users; chmod 600 /"):
        chosen_token(None, path, {})
    path.chmod(0o600)
    assert chosen_token(None, path, {}) == "s3cret"


@pytest.mark.parametrize("content", [b"", b"\n", b"a\nb\n", b"\xff\n", b"a" * 2000, b"\0"])
def test_a_token_file_has_one_line(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(UsageError, match="--token-file: the token must be"):
        chosen_token(None, secret_file(tmp_path, content), {})
    for ending in (b"", b"\n", b"\r\n"):
        assert chosen_token(None, secret_file(tmp_path, b"a b" + ending), {}) == "a b"
    with pytest.raises(UsageError, match=r"--token-file .*: cannot be read \(No such file"):
        chosen_token(None, tmp_path / "none", {})
    with pytest.raises(UsageError, match=r"--token-file .*: cannot be read \(Is a directory"):
        chosen_token(None, tmp_path, {})


def test_a_conflict_of_tokens_has_status_2_and_is_a_record_of_the_log(tmp_path: Path) -> None:
    tokens = ("--token", "a", "--token-file", secret_file(tmp_path))
    done = refused("--port", 0, *tokens, "--log-format", "json")
    assert done.returncode == 2
    assert json.loads(done.stderr)["level"] == "ERROR"
    assert "s3cret" not in done.stderr
