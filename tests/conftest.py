"""Settings of all tests, and shared fixtures."""

from __future__ import annotations

import logging
import os
import shutil
import signal
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import Phase, settings

from boneseg._util.scratch import Scratch, scratch
from boneseg.bundle.card import NAMES_ONNX, NAMES_WEIGHTS
from boneseg.inference.backends.openvino import openvino_package
from boneseg.inference.engine import Engine
from tests.support.made_once import made_once
from tests.support.requirements import missing
from tests.support.silence import Silence

if TYPE_CHECKING:
    from boneseg.bundle.store import Bundle
    from tests.support.orthanc import Orthanc

# With a test process on every core, further threads of OpenMP only wait for one another, spinning.
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")

# How long an example takes says more of what else the machine does than of the code. Every run
# draws others, and fuzz/ draws millions.
settings.register_profile("boneseg", deadline=None, max_examples=50)
# Mutants: the same few examples for each, and none is made smaller.
settings.register_profile(
    "mutation",
    deadline=None,
    max_examples=25,
    derandomize=True,
    database=None,
    phases=(Phase.explicit, Phase.generate),
)
settings.load_profile("boneseg")

SILENT = 900.0  # seconds without a result, after which a run has failed
LONG = ("simulate", "training")  # folders whose tests take seconds each

# What is started in the background ignores Ctrl-C, and so would all that the tests start.
signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_configure(config: pytest.Config) -> None:
    if config.getoption("numprocesses", None):
        config.pluginmanager.register(Silence(SILENT))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Workers begin with the files that take long, lest one waits for another's at the end.

    Coverage leaves slow tests out: it makes Python code take half as long again.
    """
    if "PYTEST_XDIST_WORKER" in os.environ:
        slow = Counter(item.path for item in items if item.get_closest_marker("slow"))
        items.sort(key=lambda item: (-slow[item.path], item.path.parent.name not in LONG))
    for item in items:
        if item.get_closest_marker("slow"):
            item.add_marker("no_cover")


def pytest_collection_finish() -> None:
    with suppress(ImportError):  # of some systems there are no wheels
        openvino_package()  # whole: the command line leaves out what only makers of networks need
    if "torch" in sys.modules:
        from tests.support import exporter

        exporter.make_quicker()


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip a test for which the machine lacks something; start with the log as it is at first."""
    log = logging.getLogger("boneseg")
    log.disabled, log.propagate = False, True
    log.setLevel(logging.NOTSET)
    for handler in log.handlers[1:]:  # the first one of all is silent
        log.removeHandler(handler)
    logging.disable(logging.NOTSET)
    for mark in item.iter_markers():
        if reason := missing(mark):
            pytest.skip(reason)


@pytest.fixture(scope="session")
def engine() -> Engine:
    """The model that ships, ready to run."""
    return Engine()


@pytest.fixture(scope="session")
def named_bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """A small model that names bones: see `tests/support/named_bones.py`."""
    from boneseg.bundle.store import load_bundle
    from tests.support.named_bones import save_named_bundle

    return load_bundle(made_once(tmp_path_factory, "named-bones", save_named_bundle))


@pytest.fixture(scope="session")
def nameless_bundle(named_bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """The same model without the network that names bones."""
    from boneseg.bundle.store import Bundle, sign

    path = shutil.copytree(named_bundle.path, tmp_path_factory.mktemp("nameless") / "bones")
    for name in (NAMES_ONNX, NAMES_WEIGHTS):
        (path / name).unlink()
    return Bundle(path, sign(path, replace(named_bundle.card, bones=None)))


@pytest.fixture
def lines() -> Iterator[list[str]]:
    """The messages that are logged, as they come."""
    kept: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: kept.append(record.getMessage())  # type: ignore[method-assign]
    logger = logging.getLogger("boneseg")
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    yield kept
    logger.removeHandler(handler)
    logger.setLevel(level)


@pytest.fixture
def room(tmp_path: Path) -> Iterator[Scratch]:
    """Where `pacs` keeps the film in hand."""
    with scratch(tmp_path / "scratch") as room:
        yield room


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Orthanc]:
    """A PACS of the test's own."""
    from tests.support import orthanc

    with orthanc.running(tmp_path / "orthanc") as running:
        yield running
