"""What a target is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Target:
    """A reader: what it reads, how, and files that it reads without an error.

    name: of the file that it is given. read: raises BonesegError for a damaged one, anything else
    is a finding. seeds: made in an empty folder. repair: corrects check sums and digests, as the
    author of a malicious file would.
    """

    name: str
    read: Callable[[Path], object]
    seeds: Callable[[Path], list[bytes]]
    repair: Callable[[bytes], bytes] | None = None
