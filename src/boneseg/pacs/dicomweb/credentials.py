"""The credentials for a DICOMweb server: a netrc file, or a file with a bearer token."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import httpx

from boneseg.errors import UsageError


def netrc_auth(path: Path | None) -> httpx.Auth | None:
    """The credentials of a netrc file: `path`, or the user's ~/.netrc if it exists.

    Raises UsageError.
    """
    from netrc import NetrcParseError

    try:
        chosen = path if path is not None else Path.home() / ".netrc"
        if path is None and not chosen.is_file():
            return None
    except (RuntimeError, OSError):  # no home folder, or an unreadable one
        return None
    _refuse_if_public(chosen)
    try:
        return httpx.NetRCAuth(str(chosen))
    except (OSError, NetrcParseError, UnicodeDecodeError):
        raise UsageError(
            f"{chosen}: is not a netrc file; write: machine HOST login USER password PASSWORD"
        ) from None


def _refuse_if_public(path: Path) -> None:
    """Raise UsageError for a credentials file that other users can read.

    As ftp(1) and Python's netrc do. Only regular files are checked, not pipes.
    """
    try:
        found = path.stat()
    except OSError:
        return  # reported when it is opened
    if os.name == "posix" and stat.S_ISREG(found.st_mode) and found.st_mode & 0o077:
        raise UsageError(f"{path}: can be read by other users; chmod 600 {path}")


def bearer_token(path: Path) -> str:
    """The token in a file. Raises UsageError."""
    _refuse_if_public(path)
    try:
        token = path.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError):
        token = ""
    if not token or any(letter.isspace() for letter in token):
        raise UsageError(f"{path}: holds no token; write only the token into it")
    return token
