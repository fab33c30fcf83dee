"""The access token given by the user: as an option, in a file, or in the environment."""

from __future__ import annotations

import stat
from collections.abc import MutableMapping
from contextlib import suppress
from pathlib import Path

from boneseg.errors import UsageError

VARIABLE = "BONESEG_TOKEN"
LONGEST = 1000  # characters: it has to fit into a request header


def chosen_token(
    option: str | None, file: Path | None, environment: MutableMapping[str, str]
) -> str | None:
    """The token from --token, --token-file or BONESEG_TOKEN, which is removed from the environment.

    None where none is given. Raises UsageError for more than one, for an invalid token, and for a
    file that other users can read.
    """
    variable = environment.pop(VARIABLE, None)  # child processes do not need it
    given = {"--token": option, "--token-file": file, VARIABLE: variable}
    sources = [source for source, value in given.items() if value is not None]
    if len(sources) > 1:
        raise UsageError(f"{' and '.join(sources)}: give the token in one way only")
    if not sources:
        return None
    token = _in_file(file) if file is not None else option or variable or ""
    if not (0 < len(token) <= LONGEST and token.isascii() and token.isprintable()):
        problem = "the token must be one line of 1 to 1000 printable ASCII characters"
        raise UsageError(f"{sources[0]}: {problem}")
    return token


def _in_file(path: Path) -> str:
    """The one line of a file, which other users must not be able to read.

    Refused like `ssh` private keys: a warning is easily missed, and any user could read the films.
    """
    try:
        with path.open("rb") as file:
            if _mode(path) & (stat.S_IRWXG | stat.S_IRWXO):
                raise UsageError(f"{path}: can be read by other users; chmod 600 {path}")
            content = file.read(LONGEST + 3)
    except OSError as error:
        raise UsageError(f"--token-file {path}: cannot be read ({error.strerror})") from None
    return content.removesuffix(b"\n").removesuffix(b"\r").decode("latin-1")


def _mode(path: Path) -> int:
    with suppress(ImportError):  # Windows has no mode bits
        import fcntl  # noqa: F401

        return path.stat().st_mode
    return 0
