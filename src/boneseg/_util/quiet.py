"""Silence other libraries in this thread, without side effects on the process.

    with quiet():
        dataset = pydicom.dcmread(path)

Warnings and log lines of DICOM and image libraries quote values of the file, and so possibly the
patient. `warnings.catch_warnings` and log levels would hide those of all threads, and overlapping
uses in two threads leave the wrong state behind. Here a filter that matches only in the threads
inside a block is present while there is any such thread.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
import warnings
from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager
from typing import Any

_LIBRARIES = frozenset(("pydicom", "highdicom", "PIL", "nibabel", "nrrd"))  # roots of their loggers


class _Thread(threading.local):
    depth = 0  # of nested blocks


_thread, _lock = _Thread(), threading.Lock()


class _Inside:
    """Stands for the regular expression in a warnings filter; also a filter of log records."""

    def match(self, _: str) -> bool:
        return _thread.depth > 0

    def filter(self, _: logging.LogRecord) -> bool:
        return _thread.depth == 0


_inside = _Inside()
_IGNORE = ("ignore", _inside, Warning, None, 0)  # as `warnings.filterwarnings` would insert it
_threads = 0  # inside a block
_changed: list[list[object]] = []  # lists of warnings filters that have `_IGNORE`
_loggers: set[logging.Logger] = set()  # that have `_inside`


@contextmanager
def quiet() -> Iterator[None]:
    """Drop this thread's warnings, and its log records from libraries that read files."""
    global _threads
    if _thread.depth == 0:
        with _lock:
            _threads += 1
            _add_log_filter()
    _add_warnings_filter()  # again in nested blocks: other code may have replaced the filters
    _thread.depth += 1
    try:
        if getattr(sys.flags, "context_aware_warnings", False):  # where this is thread-safe
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                yield
        else:
            yield
    finally:
        _thread.depth -= 1
        if _thread.depth == 0:
            with _lock:
                _threads -= 1
                if _threads == 0:
                    _remove_filters()


def _add_warnings_filter() -> None:
    filters: list[object] = warnings.filters  # type: ignore[assignment]
    if not filters or filters[0] is not _IGNORE:
        with _lock:
            filters.insert(0, _IGNORE)
            _changed.append(filters)


def _add_log_filter() -> None:
    for name, logger in list(logging.root.manager.loggerDict.items()):
        if name.partition(".")[0] in _LIBRARIES and isinstance(logger, logging.Logger):
            logger.addFilter(_inside)
            _loggers.add(logger)


def _remove_filters() -> None:
    current: list[object] = warnings.filters  # type: ignore[assignment]
    for filters in (*_changed, current):  # copies, if other code has replaced the list
        while _IGNORE in filters:
            filters.remove(_IGNORE)
    _changed.clear()
    for logger in _loggers:
        logger.removeFilter(_inside)
    _loggers.clear()


_levels: dict[str, tuple[int, int]] = {}  # of muted loggers: the blocks, and the level before


@contextmanager
def muted(name: str, below: int = logging.CRITICAL + 1) -> Iterator[None]:
    """Drop the records of a logger and its children below a level, from all threads."""
    logger = logging.getLogger(name)
    with _lock:
        blocks, before = _levels.get(name, (0, logger.level))
        _levels[name] = blocks + 1, before
        logger.setLevel(max(below, logger.level))
    try:
        yield
    finally:
        with _lock:
            blocks, before = _levels.pop(name)
            if blocks > 1:
                _levels[name] = blocks - 1, before
            else:
                logger.setLevel(before)


_blocked: dict[str, int] = {}  # modules, and the blocks that hide them
_set: dict[str, int] = {}  # environment variables, and the blocks that set them


@contextmanager
def without_module(name: str) -> Iterator[None]:
    """Let imports of a module fail, unless it has been imported already."""
    with _entry(sys.modules, _blocked, name, None):
        yield


@contextmanager
def with_variable(name: str, value: str) -> Iterator[None]:
    """Set an environment variable, unless it is set already."""
    with _entry(os.environ, _set, name, value):
        yield


@contextmanager
def _entry(
    entries: MutableMapping[str, Any], blocks: dict[str, int], name: str, value: object
) -> Iterator[None]:
    """An entry that is there in the blocks only; one that was there before stays as it is."""
    with _lock:
        ours = name in blocks or name not in entries
        if ours:
            blocks[name] = blocks.get(name, 0) + 1
            entries[name] = value
    try:
        yield
    finally:
        with _lock:
            if ours:
                blocks[name] -= 1
                if not blocks[name]:
                    del blocks[name]
                    entries.pop(name, None)


@contextmanager
def undecided_start_method() -> Iterator[None]:
    """Leave the default way to start processes open, which `spawn` and tqdm's lock would settle.

    The host program can choose it only while it is open.
    """
    import multiprocessing  # 13 ms, which segmenting does without

    is_open = multiprocessing.get_start_method(allow_none=True) is None
    try:
        yield
    finally:
        if is_open:
            multiprocessing.set_start_method(None, force=True)
