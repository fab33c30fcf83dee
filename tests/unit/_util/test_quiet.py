"""Library calls are silenced in their own thread, without changing the process."""

from __future__ import annotations

import logging
import multiprocessing
import os
import sys
import threading
import warnings
from collections.abc import Iterator
from importlib import import_module

import pytest

from boneseg._util.quiet import muted, quiet, undecided_start_method, with_variable, without_module

PYDICOM = logging.getLogger("pydicom")
CHILD = logging.getLogger("pydicom.pixels.decoders.base")


@pytest.fixture(autouse=True)
def unchanged() -> Iterator[None]:
    before = list(warnings.filters), PYDICOM.filters[:], PYDICOM.level
    yield
    assert (list(warnings.filters), PYDICOM.filters, PYDICOM.level) == before


def heard() -> list[str]:
    """The warnings that reach a program from this thread."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        with quiet():
            warnings.warn("Doe^John", stacklevel=1)
        warnings.warn("after", stacklevel=1)
    return [str(one.message) for one in caught]


def test_a_warning_in_the_block_is_dropped_even_if_the_program_shows_all() -> None:
    assert heard() == ["after"]


def test_a_warning_is_dropped_where_warnings_are_errors() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with quiet():
            warnings.warn("Doe^John", stacklevel=1)


def test_another_thread_keeps_its_warnings() -> None:
    inside, done = threading.Event(), threading.Event()

    def hold() -> None:
        with quiet():
            inside.set()
            done.wait()

    holder = threading.Thread(target=hold)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        holder.start()
        inside.wait()
        warnings.warn("mine", stacklevel=1)
        done.set()
        holder.join()
    assert [str(one.message) for one in caught] == ["mine"]


def test_overlapping_blocks_of_many_threads_leave_nothing_behind() -> None:
    def work() -> None:
        for _ in range(200):
            with quiet(), quiet():
                warnings.warn("Doe^John", stacklevel=1)

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        before = list(warnings.filters)
        threads = [threading.Thread(target=work) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert warnings.filters == before
    assert not caught


def test_filters_that_the_program_replaces_in_between_do_not_keep_ours() -> None:
    block, outer = quiet(), warnings.catch_warnings()
    outer.__enter__()
    block.__enter__()
    outer.__exit__(None, None, None)  # takes the list away that the block has changed
    with quiet():
        warnings.warn("Doe^John", stacklevel=1)  # dropped again in a nested block
    block.__exit__(None, None, None)


@pytest.mark.parametrize("logger", [PYDICOM, CHILD], ids=["library", "module"])
def test_log_records_of_libraries_are_dropped_in_the_block(
    logger: logging.Logger, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, logger.name)
    with quiet():
        logger.error("Doe^John")
    logger.error("after")
    assert caplog.messages == ["after"]


def test_a_block_ends_with_an_error() -> None:
    with pytest.raises(KeyError), quiet():
        raise KeyError
    assert heard() == ["after"]


def test_overlapping_uses_of_muted_restore_the_level() -> None:
    first, second = muted("pydicom", logging.ERROR), muted("pydicom")
    before = PYDICOM.level
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    assert PYDICOM.level > logging.CRITICAL
    second.__exit__(None, None, None)
    assert PYDICOM.level == before


def test_a_module_is_missing_in_the_block_only() -> None:
    with without_module("colorsys_x"), pytest.raises(ImportError):
        import_module("colorsys_x")
    assert "colorsys_x" not in sys.modules
    with without_module("logging"):  # imported already
        assert import_module("logging") is logging
    assert sys.modules["logging"] is logging


def test_a_variable_is_set_in_the_block_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("BONESEG_X", raising=False)
    first, second = with_variable("BONESEG_X", "1"), with_variable("BONESEG_X", "1")
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    assert os.environ["BONESEG_X"] == "1"  # another thread may be inside its block
    second.__exit__(None, None, None)
    assert "BONESEG_X" not in os.environ


def test_a_variable_that_the_user_has_set_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BONESEG_X", "0")
    with with_variable("BONESEG_X", "1"):
        assert os.environ["BONESEG_X"] == "0"
    assert os.environ["BONESEG_X"] == "0"


def test_the_start_method_of_processes_stays_as_it_was() -> None:
    before = multiprocessing.get_start_method(allow_none=True)
    with undecided_start_method():
        assert multiprocessing.get_start_method() in multiprocessing.get_all_start_methods()
    assert multiprocessing.get_start_method(allow_none=True) == before
