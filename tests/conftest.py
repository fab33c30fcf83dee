"""What holds for every test, and what several share."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

from boneseg.engine import Engine

if TYPE_CHECKING:
    from orthanc import Orthanc

# How long an example takes says more of what else the machine does than of the code.
settings.register_profile("boneseg", deadline=None)
settings.load_profile("boneseg")

# What is started in the background ignores Ctrl-C, and so would all that the tests start.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def engine() -> Engine:
    """The model that ships, ready to run."""
    return Engine()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Orthanc]:
    """A PACS of the test's own."""
    import orthanc

    with orthanc.running(tmp_path / "orthanc") as running:
        yield running
