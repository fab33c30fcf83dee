"""PyTorch: on CUDA with a graph per input shape, else on the CPU."""

from __future__ import annotations

from threading import RLock
from typing import TYPE_CHECKING

import numpy as np

from boneseg.bundle.card import NAMES_ONNX, ONNX, OUTLINE_ONNX
from boneseg.bundle.store import Bundle
from boneseg.inference.backends.base import KEPT, Shape
from boneseg.preprocessing import Floats

if TYPE_CHECKING:
    import torch
    from torch import nn


_Graph = tuple[
    "torch.cuda.CUDAGraph", "torch.Tensor", "torch.Tensor"
]  # its input and output buffers

# A graph has a single input buffer, and none may run while another is recorded.
_ONE_AT_A_TIME = RLock()


class Torch:
    """PyTorch: float32 on the CPU; on CUDA bfloat16, channels last, a CUDA graph per shape."""

    def __init__(self, bundle: Bundle, at_once: int = 1, file: str = ONNX) -> None:
        import torch

        cuda = torch.cuda.is_available()
        self._device = torch.device("cuda" if cuda else "cpu")
        self.any_size = not cuda  # there a graph is recorded for each size
        self._dtype = torch.bfloat16 if cuda and torch.cuda.is_bf16_supported() else torch.float32
        network = _loaded(bundle, file).to(self._device, self._dtype)
        self._network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        words = "bf16, CUDA" if self._dtype == torch.bfloat16 else f"fp32, {self._device.type}"
        self.name = f"PyTorch {torch.__version__}, {words}"
        self._graphs: dict[Shape, _Graph] = {}

    def __call__(self, films: Floats) -> Floats:
        import torch

        with _ONE_AT_A_TIME:
            self.prepare(films.shape)
            with torch.inference_mode():
                given = torch.from_numpy(films)
                if self._device.type == "cpu":
                    return np.asarray(self._probability(given).numpy())
                graph, batch, probability = self._graphs[films.shape]
                batch.copy_(given)
                graph.replay()
                return np.asarray(probability.cpu().numpy())

    def _probability(self, batch: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self._network(batch)
        return logits.float().sigmoid()

    def prepare(self, shape: Shape) -> None:
        if self._device.type == "cpu":  # every shape is accepted
            return
        with _ONE_AT_A_TIME:
            found = self._graphs.pop(shape, None) or self._recorded(shape)
            while len(self._graphs) >= KEPT:
                self._graphs.pop(next(iter(self._graphs)))
            self._graphs[shape] = found  # the last used comes last

    def _recorded(self, shape: Shape) -> _Graph:
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


def _loaded(bundle: Bundle, file: str) -> nn.Module:
    """The network of a file of a bundle, in PyTorch."""
    from boneseg.bundle.further import load_names, load_outline
    from boneseg.bundle.store import load_network

    return {ONNX: load_network, NAMES_ONNX: load_names, OUTLINE_ONNX: load_outline}[file](bundle)
