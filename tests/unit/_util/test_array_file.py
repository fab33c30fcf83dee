"""Arrays of a file are as they were written, are shared by position, and leave no file."""

from __future__ import annotations

import errno
import gc
import os
import pickle
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from boneseg._util.array_file import ArrayFile
from boneseg._util.files import sweep, temporary_path
from boneseg.errors import OutputError

PIXELS = np.random.default_rng(0).random((7, 5), np.float32)
MASK = PIXELS > 0.5


def test_arrays_are_as_they_were_written(tmp_path: Path) -> None:
    file = ArrayFile(tmp_path / "arrays")
    places = file.append(PIXELS), file.append(MASK.T)
    assert np.array_equal(file.array(places[0], (7, 5), np.float32), PIXELS)
    assert np.array_equal(file.array(places[1], (5, 7), np.bool_), MASK.T)


def test_threads_may_append_at_once(tmp_path: Path) -> None:
    file = ArrayFile(tmp_path / "arrays")
    written = [np.full((300, 11), number, np.float32) for number in range(40)]
    with ThreadPoolExecutor(4) as pool:
        places = list(pool.map(file.append, written))
    for place, array in zip(places, written, strict=True):
        assert np.array_equal(file.array(place, (300, 11), np.float32), array)


def test_arrays_cannot_be_changed(tmp_path: Path) -> None:
    file = ArrayFile(tmp_path / "arrays")
    with pytest.raises(ValueError, match="read-only"):
        file.array(file.append(PIXELS), (7, 5), np.float32)[0, 0] = 1


def test_the_file_is_gone_once_it_is_read_and_its_arrays_stay(tmp_path: Path) -> None:
    file = ArrayFile(tmp_path / "arrays")
    array = file.array(file.append(PIXELS), (7, 5), np.float32)
    assert not list(tmp_path.iterdir())
    del file
    gc.collect()
    assert np.array_equal(array, PIXELS)
    assert np.array_equal(pickle.loads(pickle.dumps(array)), PIXELS)


def test_an_array_of_a_shared_file_is_pickled_as_its_position(tmp_path: Path) -> None:
    large = np.zeros((1000, 1000), np.float32)
    file = ArrayFile(tmp_path / "arrays", shared=True)
    array = file.array(file.append(large), (1000, 1000), np.float32)
    text = pickle.dumps(array)
    assert len(text) < 1000
    assert np.array_equal(pickle.loads(text), large)
    del array, file
    gc.collect()
    assert not list(tmp_path.iterdir())


def test_a_part_of_a_shared_array_is_pickled_by_value(tmp_path: Path) -> None:
    file = ArrayFile(tmp_path / "arrays", shared=True)
    file.append(MASK)
    array = file.array(file.append(PIXELS), (7, 5), np.float32)
    for part, expected in ((array[2:], PIXELS[2:]), (array + 1, PIXELS + 1)):
        assert np.array_equal(pickle.loads(pickle.dumps(part)), expected)


def test_a_full_disk_is_an_error_of_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    file = ArrayFile(tmp_path / "arrays")
    monkeypatch.setattr("boneseg._util.array_file.open", fail, raising=False)
    with pytest.raises(OutputError, match=r"No space left on device.*; free space"):
        file.append(PIXELS)


def test_leftovers_of_a_killed_process_are_removed(tmp_path: Path) -> None:
    path = temporary_path(tmp_path)
    path.write_bytes(b"pixels")
    sweep(tmp_path)
    assert not path.exists()
