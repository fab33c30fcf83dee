"""The ONNX exporter of PyTorch, made quicker: tests run it some hundred times.

It is Python, of which a coverage tracer would follow every line, and makes its table of operators
anew each time. Neither concerns what is exported.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache, wraps
from typing import ParamSpec, TypeVar

import torch

P = ParamSpec("P")
T = TypeVar("T")


def make_quicker() -> None:
    """Run the exporter untraced in this process, with one table of operators."""
    torch.onnx.export = _untraced(torch.onnx.export)


def _untraced(export: Callable[P, T]) -> Callable[P, T]:
    @wraps(export)
    def quicker(*args: P.args, **kwargs: P.kwargs) -> T:
        with no_trace():
            _keep_operators()
            return export(*args, **kwargs)

    return quicker


@contextmanager
def no_trace() -> Iterator[None]:
    """Run without the trace function of a debugger or of coverage."""
    trace = sys.gettrace()
    sys.settrace(None)
    try:
        yield
    finally:
        sys.settrace(trace)


@cache
def _keep_operators() -> None:
    from torch.onnx._internal.exporter._registration import ONNXRegistry  # slow to import

    ONNXRegistry.from_torchlib = staticmethod(cache(ONNXRegistry.from_torchlib))
