"""Damaged files are refused in one line."""

from __future__ import annotations

from pathlib import Path

import pytest

from boneseg.errors import BonesegError

DEEP = 50_000


def one_line(error: pytest.ExceptionInfo[BonesegError], path: Path) -> None:
    said = str(error.value)
    assert str(path) in said and "\n" not in said and len(said) < 500
