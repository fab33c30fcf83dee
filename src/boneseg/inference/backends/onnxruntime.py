"""ONNX Runtime on the CPU: the fallback where OpenVINO has no wheel.

The network of any bundle but the shipped one is loaded and run in a child process first
(`isolated.py`).
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, NoReturn

import numpy as np

from boneseg._util.quiet import with_variable
from boneseg.bundle.card import NAMES_ONNX, ONNX, OUTLINE_ONNX
from boneseg.bundle.shipped import is_shipped
from boneseg.bundle.store import Bundle
from boneseg.inference.backends.base import Shape, cannot_run
from boneseg.inference.backends.compiled import CompiledNetworks
from boneseg.preprocessing import Floats

if TYPE_CHECKING:
    from onnxruntime import InferenceSession


class OnnxRuntime:
    """ONNX Runtime on the CPU."""

    any_size = True

    def __init__(
        self, bundle: Bundle, at_once: int = 1, file: str = ONNX, *, threads: int = 0
    ) -> None:
        self._file = bundle.path / file
        release = str(onnxruntime_package().__version__)
        if is_shipped(bundle.path):
            bundle.verify()
        else:
            _check(bundle, self._file.name, release)
        try:
            self._session = _session(self._file, threads)
        except Exception:  # its exception classes are not public
            raise cannot_run(self._file, "ONNX Runtime", None) from None
        self.name = f"ONNX Runtime {release}, fp32, CPU"

    def __call__(self, films: Floats) -> Floats:
        try:
            return np.asarray(self._session.run(None, {"film": films})[0], np.float32)
        except Exception:
            raise cannot_run(self._file, "ONNX Runtime", films.shape) from None

    def prepare(self, shape: Shape) -> None:
        """Do nothing: every shape is accepted."""


def _session(file: Path, threads: int) -> InferenceSession:
    package = onnxruntime_package()
    options = package.SessionOptions()
    options.log_severity_level = 4  # its errors are raised as BundleError
    options.intra_op_num_threads = threads  # 0: one a core
    session: InferenceSession = package.InferenceSession(
        file, options, providers=["CPUExecutionProvider"]
    )
    return session


def _check(bundle: Bundle, name: str, release: str) -> None:
    """Load and run a network in a child process, once for a bundle. Raises BundleError."""
    from boneseg.inference.backends.isolated import read_apart

    kept = CompiledNetworks.of(bundle.card.card_sha256, release)
    purpose = f"{name} runs"
    if kept is None or kept.read(purpose) is None:
        shape = _shape(bundle, name)
        data = read_apart("onnxruntime", "ONNX Runtime", bundle, name, shape, {})
        if kept is not None:
            kept.write(purpose, data.tobytes())


def _shape(bundle: Bundle, name: str) -> Shape:
    """An input that a network takes."""
    card = bundle.card
    if name == NAMES_ONNX and card.bones is not None:
        return 1, 2 + len(card.bones.parts), card.bones.height, card.bones.width
    grid = bundle.preparation((card.height, card.width))
    channels = 2 if name == OUTLINE_ONNX else 1
    return 1, channels, grid.height, grid.width


@cache
def onnxruntime_package() -> ModuleType:
    """Import onnxruntime without telemetry, unless the host program has imported it already.

    From 1.29 it would write an identifier of the machine and what it loads and runs to the user's
    cache folder, and post them. It reads the variable once, when it is imported; on Windows, where
    it reports to the system, it has a function instead.
    """
    imported = "onnxruntime" in sys.modules
    with with_variable("ORT_DISABLE_TELEMETRY", "1"):
        import onnxruntime
    if not imported:
        onnxruntime.disable_telemetry_events()
    package: ModuleType = onnxruntime
    return package


def serve() -> NoReturn:
    """Try networks in a child process (`isolated.py`)."""
    from boneseg.inference.backends.isolated import serve_reader

    serve_reader(_try)


def _try(file: Path, shape: Shape, _: Mapping[str, str]) -> bytes:
    """Nothing, after a run."""
    _session(file, 0).run(None, {"film": np.zeros(shape, np.float32)})
    return b""
