"""Arrays in a temporary file that is mapped into memory.

    file = ArrayFile(temporary_path(out))
    offset = file.append(pixels)
    pixels = file.array(offset, shape, dtype)     # read from disk where it is used

The operating system drops mapped pages when it needs their memory. Processes can share the file: an
array of a shared file is pickled as its position.
"""

from __future__ import annotations

import mmap
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from threading import Lock
from typing import SupportsIndex, TypeVar
from weakref import finalize

import numpy as np
import numpy.typing as npt

from boneseg._util.files import unwritable

_ALIGNMENT = 64  # bytes

T = TypeVar("T", bound=np.generic)


class MappedArray(np.ndarray[tuple[int, ...], np.dtype[T]]):
    """A read-only array in an `ArrayFile`; its views and copies are pickled by value."""

    position: tuple[ArrayFile, int] | None = None  # in a shared file

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        if self.position is None:
            return np.array, (np.array(self),)
        file, offset = self.position
        return ArrayFile.array, (file, offset, self.shape, self.dtype.type)

    def __reduce_ex__(self, _: SupportsIndex) -> tuple[Callable[..., object], tuple[object, ...]]:
        return self.__reduce__()


class ArrayFile:
    """A temporary file of arrays; they stay valid after its removal.

    All arrays are appended, also by several threads, before the first is read. Then the file is
    removed from its folder, so that even a killed process leaves no file. A shared file is removed
    with this object instead, as processes that got it pickled have to find it.
    """

    def __init__(self, path: Path, *, shared: bool = False) -> None:
        self.path, self.shared = path, shared
        self._lock = Lock()
        self._map: mmap.mmap | None = None
        self.remove = finalize(self, _remove, path)

    def append(self, array: npt.NDArray[np.generic]) -> int:
        """Write an array and return its offset in bytes. Raises OutputError."""
        try:
            with self._lock, open(self.path, "ab", opener=_private) as file:
                file.write(bytes(-file.tell() % _ALIGNMENT))
                offset = file.tell()
                file.write(np.ascontiguousarray(array).data)
        except OSError as error:
            raise unwritable(self.path, error) from None
        return offset

    def array(self, offset: int, shape: tuple[int, ...], dtype: type[T]) -> npt.NDArray[T]:
        """The array at an offset, read-only. Raises OSError where the file is gone."""
        if self._map is None:
            with self.path.open("rb") as file:
                self._map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
            if not self.shared:
                self.remove()
        array: MappedArray[T] = MappedArray(shape, dtype, self._map, offset)
        array.position = (self, offset) if self.shared else None
        return array

    def __reduce__(self) -> tuple[Callable[[Path], ArrayFile], tuple[Path]]:
        return _opened, (self.path,)


def _opened(path: Path) -> ArrayFile:
    """The file of another process, which removes it."""
    file = ArrayFile(path, shared=True)
    file.remove.detach()
    return file


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _remove(path: Path) -> None:
    with suppress(OSError):  # not written; or still mapped, on Windows
        path.unlink()
