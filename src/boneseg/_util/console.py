"""Results on stdout and messages on stderr."""

from __future__ import annotations

import sys
from contextlib import suppress

from boneseg._util.text import lines, one_line


def say(message: str) -> None:
    """Print one line on stderr. A closed stderr is ignored."""
    if sys.stderr is not None:
        with suppress(OSError, ValueError):
            print(one_line(message), file=sys.stderr, flush=True)


def show(result: str) -> None:
    """Print lines on stdout."""
    print(lines(result))
