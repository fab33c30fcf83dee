"""What is fuzzed: each reader of a file from outside, with seeds made by code.

A target reads one file. Its own errors (BonesegError) are what is wanted of a damaged file; any
other exception is a finding.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from targets import bundles, films, masks, pacs, runs, served, settings
from targets.target import Target

__all__ = ["Target", "targets"]


def targets() -> dict[str, Target]:
    """All targets, by name."""
    found: dict[str, Target] = {}
    for module in (films, masks, settings, bundles, runs, served, pacs):
        found |= module.targets()
    return found
