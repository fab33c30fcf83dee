"""OpenVINO on the CPU.

A network is compiled once for films of any size. For a size that is met OFTEN it is compiled again,
which saves 4 % to 8 % of the time of each film; answers are the same to the bit. The most recent
ones are kept in memory and on disk (`compiled.py`). Those of any bundle but the shipped one are
compiled in a child process (`isolated.py`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from functools import cache
from pathlib import Path
from queue import SimpleQueue
from threading import Lock
from types import ModuleType
from typing import TYPE_CHECKING, NoReturn

import numpy as np
from numpy.typing import NDArray

from boneseg._util.quiet import without_module
from boneseg.bundle.card import INT8, NAMES_ONNX, ONNX
from boneseg.bundle.shipped import is_shipped
from boneseg.bundle.store import Bundle
from boneseg.errors import BundleError
from boneseg.inference.backends.base import ANY, KEPT, Shape, cannot_run, example
from boneseg.inference.backends.compiled import CompiledNetworks
from boneseg.preprocessing import Floats

OFTEN = 32  # films of a size before the network is compiled for it

if TYPE_CHECKING:
    from openvino import CompiledModel, Core, InferRequest, Model


class OpenVino:
    """OpenVINO on the CPU; bfloat16 if the CPU supports it."""

    def __init__(
        self,
        bundle: Bundle,
        at_once: int = 1,
        file: str = ONNX,
        *,
        threads: int = 0,
    ) -> None:
        self._bundle, self._core = bundle, openvino_core()
        self._at_once, self._begun = at_once, False
        self._first, self._listing = Lock(), Lock()
        self._loading: dict[Shape, Lock] = {}
        # What OpenVINO prepares for each size of films is kept, some 2 MB: so for 15 sizes or so.
        self._settings = {"PERFORMANCE_HINT": "LATENCY", "CPU_RUNTIME_CACHE_CAPACITY": "500"}
        if at_once > 1:
            self._settings["NUM_STREAMS"] = str(at_once)
        if threads:
            self._settings["INFERENCE_NUM_THREADS"] = str(threads)
            # Each process would pin its threads to the first cores, and so all to the same ones.
            self._settings["ENABLE_CPU_PINNING"] = "NO"
        self._release = str(openvino_package().__version__)
        self._kept = CompiledNetworks.of(bundle.card.card_sha256, self._release)
        self._networks: dict[Shape, _Requests] = {}
        self._met: Counter[Shape] = Counter()
        # Other networks take films of one size.
        self._takes_any = bundle.card.fitted and file != NAMES_ONNX
        self._file = INT8 if file == ONNX and INT8 in bundle.card.files else file

    @property
    def name(self) -> str:
        _, types = _machine()
        kind = "int8" if self._file == INT8 else "bf16" if "BF16" in types else "fp32"
        return f"OpenVINO {self._release.partition('-')[0]}, {kind}, CPU"

    def __call__(self, films: Floats) -> Floats:
        with self._listing:
            self._met[films.shape] += 1
        network = self._network(films.shape)
        try:
            return self._answer(network, films)
        except Exception:
            raise cannot_run(self._bundle.path / self._file, "OpenVINO", films.shape) from None

    def _answer(self, network: _Requests, films: Floats) -> Floats:
        if self._begun:
            return network(films)
        # The first call initialises state shared in OpenVINO's bindings; two concurrent first calls
        # can deadlock, one holding that state and the other the GIL.
        with self._first:
            found = network(films)
            self._begun = True
        return found

    def prepare(self, shape: Shape) -> None:
        self._network(shape)

    def _network(self, shape: Shape) -> _Requests:
        """The network for inputs of a shape; loading one does not hold up the others."""
        if self._takes_any and self._met[shape] < OFTEN:
            shape = (ANY, shape[1], ANY, ANY)
        found = self._listed(shape)
        if found is None:
            with self._listing:
                loading = self._loading.setdefault(shape, Lock())
            with loading:
                found = self._listed(shape)  # another thread may have loaded it
                if found is None:
                    found = self._loaded(shape)
                    self._list(shape, found)
        return found

    def _listed(self, shape: Shape) -> _Requests | None:
        with self._listing:
            found = self._networks.pop(shape, None)
            if found is not None:
                self._networks[shape] = found  # the last used comes last
        return found

    def _list(self, shape: Shape, network: _Requests) -> None:
        with self._listing:
            while len(self._networks) >= KEPT:
                self._networks.pop(next(iter(self._networks)))
            self._networks[shape] = network

    def _loaded(self, shape: Shape) -> _Requests:
        try:
            return self._restored(shape) or self._compiled(shape)
        except BundleError:
            raise
        except Exception:  # OpenVINO's own message is very long, and may quote bytes of the file
            raise cannot_run(self._bundle.path / self._file, "OpenVINO", shape) from None

    def _restored(self, shape: Shape) -> _Requests | None:
        """The network from the disk cache; None if missing or not for this machine."""
        data = self._kept.read(self._purpose(shape)) if self._kept else None
        if data is None:
            return None
        with suppress(RuntimeError):
            return self._imported(data)
        return None

    def _compiled(self, shape: Shape) -> _Requests:
        if is_shipped(self._bundle.path):
            self._bundle.verify()
            path = self._bundle.path / self._file
            compiled = compile_network(self._core, path, shape, self._settings)
            if self._kept:
                self._kept.write(self._purpose(shape), compiled.export_model().read())
            return _Requests(compiled, self._at_once)
        from boneseg.inference.backends.isolated import read_apart

        data = read_apart("openvino", "OpenVINO", self._bundle, self._file, shape, self._settings)
        if self._kept:
            self._kept.write(self._purpose(shape), data.tobytes())
        return self._imported(data)

    def _imported(self, data: NDArray[np.uint8]) -> _Requests:
        return _Requests(import_network(self._core, data, self._settings), self._at_once, data)

    def _purpose(self, shape: Shape) -> str:
        """The cache key of a compiled network within its bundle."""
        return f"{self._file} {shape} {sorted(self._settings.items())} {_machine()}"


class _Requests:
    """A compiled network with a pool of inference requests, each used by one thread at a time.

    data: that it was restored from, and keeps its weights in.
    """

    def __init__(
        self, compiled: CompiledModel, count: int, data: NDArray[np.uint8] | None = None
    ) -> None:
        self._free: SimpleQueue[InferRequest] = SimpleQueue()
        for _ in range(count):
            self._free.put(compiled.create_infer_request())
        self._data = data

    def __call__(self, films: Floats) -> Floats:
        request = self._free.get()
        try:
            return np.asarray(request.infer(films)[0], np.float32)
        finally:
            self._free.put(request)


def compile_network(
    core: Core, file: Path, shape: Shape, settings: Mapping[str, str]
) -> CompiledModel:
    """The network of a file for inputs of a shape. Raises what OpenVINO raises."""
    model = read_network(file)
    model.reshape(list(shape))
    sizes = [one.get_length() if one.is_static else ANY for one in model.output(0).partial_shape]
    if sizes[2:] != list(shape)[2:]:
        raise RuntimeError("fixed input size")
    return core.compile_model(model, "CPU", dict(settings))


def read_network(file: Path) -> Model:
    """The network of a file, uncompiled. Raises what OpenVINO raises.

    By the reader of its format alone: OpenVINO itself tries those of all formats that it knows,
    TensorFlow's and PyTorch's among them, on a file that is not what its name says.
    """
    format_ = "onnx" if file.suffix == ".onnx" else "ir"
    reader = openvino_package().frontend.FrontEndManager().load_by_framework(format_)
    model: Model = reader.convert(reader.load(str(file)))
    return model


def import_network(
    core: Core, data: NDArray[np.uint8], settings: Mapping[str, str]
) -> CompiledModel:
    """A network that was compiled before; it keeps its weights in `data`."""
    tensor = openvino_package().Tensor(data, shared_memory=True)
    return core.import_model(tensor, "CPU", dict(settings))


def serve() -> NoReturn:
    """Compile networks in a child process (`isolated.py`)."""
    from boneseg.inference.backends.isolated import serve_reader

    serve_reader(_read)


def _read(file: Path, shape: Shape, settings: Mapping[str, str]) -> bytes:
    """The compiled network, after a run of what the parent process will import."""
    core = openvino_core()
    data: bytes = compile_network(core, file, shape, settings).export_model().read()
    network = import_network(core, np.array(memoryview(data)), settings)
    network.create_infer_request().infer(np.zeros(example(shape), np.float32))
    return data


def openvino_package() -> ModuleType:
    """Import openvino without telemetry, which would post to the network on import."""
    with without_module("openvino_telemetry"):
        import openvino

        package: ModuleType = openvino
        return package


@cache
def openvino_core() -> Core:
    """The device plugins, which take milliseconds to load: one instance for all networks."""
    core: Core = openvino_package().Core()
    return core


@cache
def _machine() -> tuple[str, list[str]]:
    """The name of the CPU and the number types that it computes with, which take 10 ms to ask."""
    core = openvino_core()
    types = core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    return core.get_property("CPU", "FULL_DEVICE_NAME"), sorted(types)
