"""Messages for a person, on stderr; stdout is for results."""

from __future__ import annotations

import sys
from contextlib import suppress

from boneseg._util.text import one_line


def say(message: str) -> None:
    """One line for a person. A stderr that is closed, or that nobody reads, stops no work."""
    if sys.stderr is not None:
        with suppress(OSError, ValueError):
            print(one_line(message), file=sys.stderr, flush=True)
