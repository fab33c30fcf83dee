"""Inference backends: OpenVINO on CPUs, PyTorch on CUDA, ONNX Runtime elsewhere.

    backend = open_backend(bundle)
    backend(films)        # float32 N x C x H x W to probabilities, float32 N x K x H x W

All backends are thread-safe. A backend's module and library are imported when it is opened.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

from boneseg.bundle.card import ONNX
from boneseg.bundle.store import Bundle
from boneseg.errors import UsageError
from boneseg.inference.backends.base import Backend

CUDA_DRIVER = (Path("/proc/driver/nvidia/version"), Path("/dev/dxg"))  # on Linux, and on WSL


def _openvino(bundle: Bundle, at_once: int, file: str, threads: int) -> Backend:
    from boneseg.inference.backends.openvino import OpenVino

    return OpenVino(bundle, at_once, file, threads=threads)


def _onnxruntime(bundle: Bundle, at_once: int, file: str, threads: int) -> Backend:
    from boneseg.inference.backends.onnxruntime import OnnxRuntime

    return OnnxRuntime(bundle, at_once, file, threads=threads)


def _torch(bundle: Bundle, at_once: int, file: str, threads: int) -> Backend:
    from boneseg.inference.backends.torch import Torch

    return Torch(bundle, at_once, file)


BACKENDS: dict[str, Callable[[Bundle, int, str, int], Backend]] = {
    "openvino": _openvino,
    "onnxruntime": _onnxruntime,
    "torch": _torch,
}


def open_backend(
    bundle: Bundle,
    name: str | None = None,
    at_once: int = 1,
    *,
    file: str = ONNX,
    threads: int = 0,
) -> Backend:
    """Open the backend of this name, or the best one for this machine.

    at_once: the number of concurrent calls to optimise for. (Used by OpenVINO only, which splits
    the cores into as many streams.) file: of the bundle's network: the one that finds bone, or a
    further one, which must exist. threads: the most that OpenVINO and ONNX Runtime start; 0: one a
    core.

    Raises UsageError if the backend is unknown or not installed, and BundleError if it cannot run
    the bundle's network.
    """
    if name is not None and name not in BACKENDS:
        raise UsageError(f"--engine {name}: is not known; choose from {', '.join(BACKENDS)}")
    chosen = name or suitable()
    if find_spec(chosen) is None:
        raise UsageError(f"--engine {chosen}: is not installed; pip install {chosen}")
    return BACKENDS[chosen](bundle, at_once, file, threads)


def suitable() -> str:
    """The default backend: PyTorch with CUDA, else the first one installed."""
    if any(path.exists() for path in CUDA_DRIVER) and find_spec("torch"):
        import torch

        if torch.cuda.is_available():
            return "torch"
    return next((name for name in BACKENDS if find_spec(name)), "openvino")
