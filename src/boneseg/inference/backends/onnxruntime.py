"""ONNX Runtime on the CPU: the fallback where OpenVINO has no wheel."""

from __future__ import annotations

import numpy as np

from boneseg.bundle.card import NAMES_ONNX, ONNX
from boneseg.bundle.store import Bundle
from boneseg.inference.backends.base import Shape, cannot_run
from boneseg.preprocessing import Floats


class OnnxRuntime:
    """ONNX Runtime on the CPU."""

    def __init__(
        self, bundle: Bundle, at_once: int = 1, *, names: bool = False, threads: int = 0
    ) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.log_severity_level = 4  # its errors are raised as BundleError
        options.intra_op_num_threads = threads  # 0: one a core
        self._file = bundle.path / (NAMES_ONNX if names else ONNX)
        try:
            self._session = onnxruntime.InferenceSession(
                self._file, options, providers=["CPUExecutionProvider"]
            )
        except Exception:  # its exception classes are not public
            raise cannot_run(self._file, "ONNX Runtime", None) from None
        self.name = f"ONNX Runtime {onnxruntime.__version__}, fp32, CPU"

    def __call__(self, films: Floats) -> Floats:
        try:
            return np.asarray(self._session.run(None, {"film": films})[0], np.float32)
        except Exception:
            raise cannot_run(self._file, "ONNX Runtime", films.shape) from None

    def prepare(self, shape: Shape) -> None:
        """Do nothing: every shape is accepted."""
