"""The token that the user has chosen: as an option, from a file, or from the environment."""

from __future__ import annotations

import stat
from collections.abc import MutableMapping
from contextlib import suppress
from pathlib import Path

from boneseg.errors import UsageError

VARIABLE = "BONESEG_TOKEN"
LONGEST = 1000  # characters: it has to fit into the header of a request


def chosen_token(
    option: str | None, file: Path | None, environment: MutableMapping[str, str]
) -> str | None:
    """The token of --token, --token-file or BONESEG_TOKEN, which is taken out of the environment.

    None where there is none. Raises UsageError for two of them, for a token that cannot be used,
    and for a file that other users can read.
    """
    variable = environment.pop(VARIABLE, None)  # the processes that are started do not need it
    given = {"--token": option, "--token-file": file, VARIABLE: variable}
    words = [word for word, value in given.items() if value is not None]
    if len(words) > 1:
        raise UsageError(f"{' and '.join(words)}: give the token in one way only")
    if not words:
        return None
    token = _in_file(file) if file is not None else option or variable or ""
    if not (0 < len(token) <= LONGEST and token.isascii() and token.isprintable()):
        problem = "the token must be 1 to 1000 letters, digits and signs of ASCII, on one line"
        raise UsageError(f"{words[0]}: {problem}")
    return token


def _in_file(path: Path) -> str:
    """The one line of a file. Others must not be able to read it, as `ssh` wants of its keys:

    a warning would scroll by, and the films would be open to every user of the machine.
    """
    try:
        with path.open("rb") as file:
            if _mode(path) & (stat.S_IRWXG | stat.S_IRWXO):
                raise UsageError(f"{path}: other users can read the token; chmod 600 it")
            content = file.read(LONGEST + 3)
    except OSError as error:
        raise UsageError(f"--token-file {path}: cannot be read ({error.strerror})") from None
    return content.removesuffix(b"\n").removesuffix(b"\r").decode("latin-1")


def _mode(path: Path) -> int:
    with suppress(ImportError):  # elsewhere, rights are no bits
        import fcntl  # noqa: F401

        return path.stat().st_mode
    return 0
