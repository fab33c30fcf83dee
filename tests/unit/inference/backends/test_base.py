"""The contract of every backend, and its error for a network that cannot run."""

from __future__ import annotations

from pathlib import Path

from boneseg.errors import BundleError
from boneseg.inference.backends.base import cannot_run


def test_the_error_names_the_bundle_the_backend_and_the_size() -> None:
    error = cannot_run(Path("bones/model.onnx"), "OpenVINO", (1, 1, 64, 96))
    assert isinstance(error, BundleError)
    assert str(error) == (
        "bones: OpenVINO cannot run its model.onnx at 64 x 96; copy the bundle again"
    )
    assert " at " not in str(cannot_run(Path("bones/model.onnx"), "ONNX Runtime", None))
