"""OpenVINO on the CPU.

A network is compiled once for films of any size. For the first few sizes that are met OFTEN it is
compiled again, which saves 4 % to 8 % of the time of each film; answers are the same to the bit.
Networks are kept in memory and on disk (`compiled.py`). Those of any bundle but the shipped one are
compiled in a child process (`isolated.py`).
"""

from __future__ import annotations

import json
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
from boneseg.inference.backends.base import ANY, KEPT, Shape, cannot_run
from boneseg.inference.backends.compiled import CompiledNetworks
from boneseg.preprocessing import Floats

# Of a network that was compiled before, OpenVINO 2026.4 takes the weights from this file, if there
# is one in the current folder, which may be somebody else's.
STRAY = Path(".bin")
OFTEN = 32  # films of a size before the network is compiled for it
_FOR = "shape"  # in the settings of a request to a child: that the network is compiled for

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
        # What OpenVINO has prepared for the last sizes, some 2 MB for each of about 15.
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
        # Other bundles and the names of bones have one size. The answers of a U-Net++ would depend
        # on whether it was compiled for any.
        nested = file == ONNX and bundle.card.architecture.get("architecture") == "unetplusplus"
        self.any_size = bundle.card.fitted and file != NAMES_ONNX and not nested
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
        """The network for inputs of a shape."""
        if not self.any_size:
            return self._held(shape, shape)
        if self._has_own(shape):
            try:
                return self._held(shape, shape)
            except BundleError:  # no child process, for one: the other network serves as well
                self._met[shape] = -(10**9)
        return self._held((ANY, shape[1], ANY, ANY), shape)

    def _has_own(self, shape: Shape) -> bool:
        """Whether inputs of a shape are frequent, and there is a place for their own network."""
        with self._listing:
            place = shape in self._networks or len(self._networks) < KEPT
            return place and self._met[shape] >= OFTEN

    def _held(self, shape: Shape, first: Shape) -> _Requests:
        """The network compiled for a shape, which may have ANY; loading does not hold up others.

        first: the shape of the first input.
        """
        found = self._listed(shape)
        if found is None:
            with self._listing:
                loading = self._loading.setdefault(shape, Lock())
            with loading:
                found = self._listed(shape)  # another thread may have loaded it
                if found is None:
                    found = self._loaded(shape, first)
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

    def _loaded(self, shape: Shape, first: Shape) -> _Requests:
        try:
            return self._restored(shape) or self._compiled(shape, first)
        except BundleError:
            raise
        except Exception:  # OpenVINO's own message is very long, and may quote bytes of the file
            raise cannot_run(self._bundle.path / self._file, "OpenVINO", shape) from None

    def _restored(self, shape: Shape) -> _Requests | None:
        """The network from the disk cache; None if missing or not for this machine."""
        data = self._kept.read(self._purpose(shape)) if self._kept else None
        if data is None or STRAY.exists():
            return None
        with suppress(RuntimeError):
            return self._imported(data)
        return None

    def _compiled(self, shape: Shape, first: Shape) -> _Requests:
        if is_shipped(self._bundle.path):
            self._bundle.verify()
            path = self._bundle.path / self._file
            compiled = compile_network(self._core, path, shape, self._settings)
            if self._kept:
                self._kept.write(self._purpose(shape), compiled.export_model().read())
            return _Requests(compiled, self._at_once)
        if STRAY.exists():
            problem = "OpenVINO would take its weights from the file .bin in the current folder"
            raise BundleError(f"{self._bundle.path}: {problem}; remove that, or start elsewhere")
        from boneseg.inference.backends.isolated import read_apart

        settings = self._settings | {_FOR: json.dumps(shape)}
        data = read_apart("openvino", "OpenVINO", self._bundle, self._file, first, settings)
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


def _read(file: Path, first: Shape, settings: Mapping[str, str]) -> bytes:
    """The compiled network, after a run of what the parent process will import."""
    core, rest = openvino_core(), {key: value for key, value in settings.items() if key != _FOR}
    shape = tuple(json.loads(settings[_FOR]))
    data: bytes = compile_network(core, file, shape, rest).export_model().read()
    kept = np.array(memoryview(data))  # the network keeps its weights in it
    network = import_network(core, kept, rest)
    network.create_infer_request().infer(np.zeros(first, np.float32))
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
