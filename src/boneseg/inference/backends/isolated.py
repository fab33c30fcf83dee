"""Read the network of another bundle in a child process first.

    network = read_apart("openvino", "OpenVINO", bundle, "model.onnx", shape, settings)

Native readers of networks can crash on a damaged file, and whoever makes a bundle can sign damaged
files. Therefore the network of every bundle but the one in the package itself is read, compiled and
run once in a child process with limits on memory and time. This process loads what the child
replies, which is kept on disk (`compiled.py`): so a child is started once for a network, and for
OpenVINO again for a size of films that is met often. The run is on a film of the first size.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import NoReturn

import numpy as np
from numpy.typing import NDArray

from boneseg._util import runtime
from boneseg._util.children import Children, NotStartedError
from boneseg._util.cores import available_cores
from boneseg._util.disposable import DiedError, Room, answer_with
from boneseg.bundle.store import Bundle
from boneseg.errors import BundleError
from boneseg.inference.backends.base import Shape, cannot_run

Reader = Callable[[Path, Shape, Mapping[str, str]], bytes]

_IDLE = 10.0  # seconds that a child is kept for the next shape: it takes 100 MB or more
_MEMORY = 640 * 2**20  # bytes that any network may use
_THREAD = 16 * 2**20  # further bytes for each thread
_PIXEL = 8 * 2**10  # further bytes for each pixel of the input
_FILE = 8  # further bytes, and bytes of the reply at most, for each byte of the bundle's files
_SECONDS, _LONGEST = 8.0, 600.0  # of CPU time for a small network, and for any
_SLOWEST = 1e10  # multiplications a second; a weight takes part in at most one for each pixel
_WALL = 4.0  # multiple of the CPU time, for busy machines
_DONE, _FAILED = b"\0", b"\1"


def read_apart(
    backend: str, who: str, bundle: Bundle, name: str, shape: Shape, settings: Mapping[str, str]
) -> NDArray[np.uint8]:
    """What the reader of a backend returns for a file of a bundle, uint8, in memory of its own.

    backend: the module of its `serve`. who: its name in messages. shape: of the input that the
    network is run on. Raises BundleError.
    """
    file = bundle.path / name
    size = sum((bundle.path / one).stat().st_size for one in bundle.card.files)
    pixels = shape[0] * math.prod(shape[2:])
    seconds = min(_SECONDS + size * pixels / _SLOWEST, _LONGEST)
    asked = {
        "file": str(file.absolute()),  # a child stays in the folder where it started
        "shape": shape,
        "settings": dict(settings),
        "seconds": seconds,
        "memory": _MEMORY + _THREAD * available_cores() + _PIXEL * pixels + _FILE * size,
    }
    try:
        with _children(backend).one() as child:
            request = [json.dumps(asked).encode()]
            reply = child.ask(request, _WALL * seconds, most=_MEMORY // 8 + _FILE * size)
            if reply[-len(_DONE) :] != _DONE:
                raise cannot_run(file, who, shape)
            return np.array(reply[: -len(_DONE)])
    except DiedError as error:
        raise BundleError(f"{bundle.path}: its {name} {error}; copy the bundle again") from None
    except NotStartedError as error:
        problem = f"there is no process to read its {name} ({error})"
        raise BundleError(f"{bundle.path}: {problem}; close other programs") from None


@cache
def _children(backend: str) -> Children:
    return Children(f"boneseg.inference.backends.{backend}:serve", seconds=_IDLE)


# -- in the child ---------------------------------------------------------------------------------


def serve_reader(read: Reader) -> NoReturn:
    """Read networks for the parent process until it exits."""

    def answer(request: memoryview, room: Room) -> Iterator[bytes]:
        asked = json.loads(bytes(request))
        runtime.bound_memory(asked["memory"])
        runtime.bound_cpu(asked["seconds"])
        try:
            network = read(Path(asked["file"]), tuple(asked["shape"]), asked["settings"])
            room(len(network))[:] = network
        except Exception:  # its text is of the library
            yield _FAILED
        else:
            yield _DONE

    answer_with(answer)
