"""Inference backends: OpenVINO on CPUs, PyTorch on CUDA, ONNX Runtime elsewhere.

    backend = open_backend(bundle)
    backend(films)        # float32 N x 1 x H x W to the probability, float32 N x members x H x W

All backends are thread-safe. OpenVINO compiles the network for each new input shape, and keeps the
most recent ones.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import suppress
from importlib import import_module
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from queue import SimpleQueue
from threading import Lock
from typing import Any, Protocol

import numpy as np

from boneseg.bundle.card import INT8, ONNX
from boneseg.bundle.store import Bundle
from boneseg.errors import BundleError, UsageError
from boneseg.inference.compiled import CompiledNetworks
from boneseg.preprocessing import Floats

KEPT = 8  # compiled networks kept in memory, one per input shape
CUDA_DRIVER = (Path("/proc/driver/nvidia/version"), Path("/dev/dxg"))  # on Linux, and on WSL

Shape = tuple[int, ...]


class Backend(Protocol):
    """A network ready for inference."""

    name: str  # as shown to the user

    def __call__(self, films: Floats) -> Floats:
        """Map float32 N x 1 x H x W to the probability of bone, float32 N x members x H x W."""

    def prepare(self, shape: Shape) -> None:
        """Prepare for inputs of this shape. Raises BundleError if that fails."""


def open_backend(bundle: Bundle, name: str | None = None, at_once: int = 1) -> Backend:
    """Open the backend of this name, or the best one for this machine.

    at_once: the number of concurrent calls to optimise for. (Used by OpenVINO only, which splits
    the cores into as many streams.)

    Raises UsageError if the backend is unknown or not installed, and BundleError if it cannot run
    the bundle's network.
    """
    if name is not None and name not in BACKENDS:
        raise UsageError(f"--engine {name}: is not known; choose from {', '.join(BACKENDS)}")
    chosen = name or suitable()
    if find_spec(chosen) is None:
        raise UsageError(f"--engine {chosen}: is not installed; pip install {chosen}")
    return BACKENDS[chosen](bundle, at_once)


def suitable() -> str:
    """The default backend: PyTorch with CUDA, else the first one installed."""
    if any(path.exists() for path in CUDA_DRIVER) and find_spec("torch"):
        import torch

        if torch.cuda.is_available():
            return "torch"
    return next((name for name in BACKENDS if find_spec(name)), "openvino")


class OpenVino:
    """OpenVINO on the CPU; bfloat16 if the CPU supports it."""

    def __init__(self, bundle: Bundle, at_once: int = 1) -> None:
        openvino = openvino_package()
        self._bundle, self._core = bundle, openvino.Core()
        self._at_once, self._begun, self._one_at_a_time = at_once, False, Lock()
        self._settings = {"PERFORMANCE_HINT": "LATENCY"}
        if at_once > 1:
            self._settings["NUM_STREAMS"] = str(at_once)
        self._kept = CompiledNetworks.of(bundle.card.card_sha256, openvino.__version__)
        self._networks: dict[Shape, _Requests] = {}
        self._file = INT8 if INT8 in bundle.card.files else ONNX
        types = self._core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
        self._machine = self._core.get_property("CPU", "FULL_DEVICE_NAME"), sorted(types)
        kind = "int8" if self._file == INT8 else "bf16" if "BF16" in types else "fp32"
        self.name = f"OpenVINO {version('openvino')}, {kind}, CPU"

    def __call__(self, films: Floats) -> Floats:
        network = self._network(films.shape)
        try:
            return self._answer(network, films)
        except Exception:
            raise _cannot_run(self._bundle.path / self._file, "OpenVINO", films.shape) from None

    def _answer(self, network: _Requests, films: Floats) -> Floats:
        if self._begun:
            return network(films)
        # The first call initialises state shared in OpenVINO's bindings; two concurrent first calls
        # can deadlock, one holding that state and the other the GIL.
        with self._one_at_a_time:
            found = network(films)
            self._begun = True
        return found

    def prepare(self, shape: Shape) -> None:
        self._network(shape)

    def _network(self, shape: Shape) -> _Requests:
        with self._one_at_a_time:
            found = self._networks.pop(shape, None) or self._compiled(shape)
            while len(self._networks) >= KEPT:
                self._networks.pop(next(iter(self._networks)))
            self._networks[shape] = found  # the last used comes last
        return found

    def _compiled(self, shape: Shape) -> _Requests:
        try:
            return _Requests(self._restored(shape) or self._compile(shape), self._at_once)
        except Exception:  # OpenVINO's own message is very long, and may quote bytes of the file
            raise _cannot_run(self._bundle.path / self._file, "OpenVINO", shape) from None

    def _restored(self, shape: Shape) -> Any:
        """The network from the disk cache; None if missing or not for this machine."""
        data = self._kept.read(self._purpose(shape)) if self._kept else None
        if data is None:
            return None
        with suppress(RuntimeError):
            tensor = openvino_package().Tensor(np.frombuffer(data, np.uint8))
            return self._core.import_model(tensor, "CPU", self._settings)
        return None

    def _compile(self, shape: Shape) -> Any:
        model = self._core.read_model(self._bundle.path / self._file)
        model.reshape(list(shape))
        if list(model.output(0).shape)[2:] != list(shape)[2:]:
            raise RuntimeError("fixed input size")
        compiled = self._core.compile_model(model, "CPU", self._settings)
        if self._kept:
            self._kept.write(self._purpose(shape), compiled.export_model().read())
        return compiled

    def _purpose(self, shape: Shape) -> str:
        """The cache key of a compiled network within its bundle."""
        return f"{self._file} {shape} {sorted(self._settings.items())} {self._machine}"


class _Requests:
    """A compiled network with a pool of inference requests, each used by one thread at a time."""

    def __init__(self, compiled: Any, count: int) -> None:
        self._free: SimpleQueue[Any] = SimpleQueue()
        for _ in range(count):
            self._free.put(compiled.create_infer_request())

    def __call__(self, films: Floats) -> Floats:
        request = self._free.get()
        try:
            return np.asarray(request.infer(films)[0], np.float32)
        finally:
            self._free.put(request)


class OnnxRuntime:
    """ONNX Runtime on the CPU: the fallback where OpenVINO has no wheel."""

    def __init__(self, bundle: Bundle, at_once: int = 1) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.log_severity_level = 4  # its errors are raised as BundleError
        self._file = bundle.path / ONNX
        try:
            self._session = onnxruntime.InferenceSession(
                bundle.path / ONNX, options, providers=["CPUExecutionProvider"]
            )
        except Exception:  # its exception classes are not public
            raise _cannot_run(bundle.path / ONNX, "ONNX Runtime", None) from None
        self.name = f"ONNX Runtime {version('onnxruntime')}, fp32, CPU"

    def __call__(self, films: Floats) -> Floats:
        try:
            return np.asarray(self._session.run(None, {"film": films})[0], np.float32)
        except Exception:
            raise _cannot_run(self._file, "ONNX Runtime", films.shape) from None

    def prepare(self, shape: Shape) -> None:
        """Do nothing: every shape is accepted."""


class Torch:
    """PyTorch: float32 on the CPU; on CUDA bfloat16, channels last, a CUDA graph per shape."""

    def __init__(self, bundle: Bundle, at_once: int = 1) -> None:
        import torch

        from boneseg.bundle.store import load_network

        cuda = torch.cuda.is_available()
        self._device = torch.device("cuda" if cuda else "cpu")
        self._dtype = torch.bfloat16 if cuda and torch.cuda.is_bf16_supported() else torch.float32
        network = load_network(bundle).to(self._device, self._dtype)
        self._network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        words = "bf16, CUDA" if self._dtype == torch.bfloat16 else f"fp32, {self._device.type}"
        self.name = f"PyTorch {torch.__version__}, {words}"
        self._graphs: dict[Shape, Any] = {}
        self._one_at_a_time = Lock()  # a graph has a single input buffer

    def __call__(self, films: Floats) -> Floats:
        import torch

        with self._one_at_a_time:
            self.prepare(films.shape)
            with torch.inference_mode():
                given = torch.from_numpy(films)
                if self._device.type == "cpu":
                    return np.asarray(self._probability(given).numpy())
                graph, batch, probability = self._graphs[films.shape]
                batch.copy_(given)
                graph.replay()
                return np.asarray(probability.cpu().numpy())

    def _probability(self, batch: Any) -> Any:
        return self._network(batch).float().sigmoid()

    def prepare(self, shape: Shape) -> None:
        if self._device.type == "cpu":  # every shape is accepted
            return
        found = self._graphs.pop(shape, None) or self._recorded(shape)
        while len(self._graphs) >= KEPT:
            self._graphs.pop(next(iter(self._graphs)))
        self._graphs[shape] = found  # the last used comes last

    def _recorded(self, shape: Shape) -> tuple[Any, Any, Any]:
        """The network as a CUDA graph, with its input and output buffers."""
        import torch

        batch = torch.zeros(shape, device=self._device, dtype=self._dtype)
        batch = batch.to(memory_format=torch.channels_last)
        graph, aside = torch.cuda.CUDAGraph(), torch.cuda.Stream()  # type: ignore[no-untyped-call]
        with torch.inference_mode(), torch.cuda.stream(aside):
            self._probability(batch)  # warm up: lazy initialisation must not be captured
            aside.synchronize()
            with torch.cuda.graph(graph, stream=aside):
                probability = self._probability(batch)
        return graph, batch, probability


BACKENDS: dict[str, Callable[[Bundle, int], Backend]] = {
    "openvino": OpenVino,
    "onnxruntime": OnnxRuntime,
    "torch": Torch,
}


def openvino_package() -> Any:
    """Import openvino without its model converter, which sends telemetry on import.

    (openvino_telemetry posts to the network.) This also halves the import time.
    """
    converter = "openvino.tools.ovc"
    blocked = converter not in sys.modules
    if blocked:
        sys.modules[converter] = None  # type: ignore[assignment]
    try:
        return import_module("openvino")
    finally:
        if blocked:
            del sys.modules[converter]


def _cannot_run(file: Path, who: str, shape: Shape | None) -> BundleError:
    at = f" at {shape[2]} x {shape[3]}" if shape else ""
    problem = f"{who} cannot run its {file.name}{at}"
    return BundleError(f"{file.parent}: {problem}; copy the bundle again")
