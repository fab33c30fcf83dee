"""The ONNX file of a model: its export, and its weights shared with the safetensors file.

The graph is that of the network as it is, not optimised for its weights: engines do that when they
load it. So it is the same for every network of one architecture, and the exporter, which takes
seconds, runs once for all folds of a cross-validation.
"""

from __future__ import annotations

import json
import logging
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path

import onnx
import torch
from torch import nn

from boneseg._util.quiet import muted, quiet, undecided_start_method

KEPT = 16  # graphs of the most recent architectures, without their weights
_graphs: OrderedDict[str, bytes] = OrderedDict()


class _Probability(nn.Module):
    """Films float32 N x C x H x W to probabilities, float32 N x K x H x W, of logits."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network
        self.dtype = next(network.parameters()).dtype

    def forward(self, film: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.network(film.to(self.dtype))
        return logits.float().sigmoid()


def export(network: nn.Module, path: Path, shape: tuple[int, int, int], *, fitted: bool) -> None:
    """Write the network as ONNX, for any number of films, and any size where it is fitted.

    shape: of its input for a film, channels x height x width.
    """
    probability = _Probability(network).eval()
    key = repr((_architecture(probability), shape, fitted))
    if key not in _graphs:
        _graphs[key] = _exported(probability, shape, fitted)
    _graphs.move_to_end(key)
    while len(_graphs) > KEPT:
        _graphs.popitem(last=False)
    model = onnx.load_from_string(_graphs[key])
    weights = probability.state_dict()
    for tensor in model.graph.initializer:
        if tensor.name in weights:
            tensor.raw_data = weights[tensor.name].detach().cpu().contiguous().numpy().tobytes()
    path.write_bytes(model.SerializeToString())


def _architecture(network: nn.Module) -> list[object]:
    """What a network computes, but for the values of its weights."""
    settings = [
        (name, type(module).__qualname__, module.extra_repr(), _plain(vars(module)))
        for name, module in network.named_modules()
    ]
    weights = [(name, value.shape, value.dtype) for name, value in network.state_dict().items()]
    return [settings, weights]


def _plain(attributes: Mapping[str, object]) -> list[tuple[str, object]]:
    kinds = (bool, int, float, str, tuple, torch.dtype)
    return [(name, value) for name, value in attributes.items() if isinstance(value, kinds)]


def _exported(probability: nn.Module, shape: tuple[int, int, int], fitted: bool) -> bytes:
    """The ONNX file of a network, without its weights."""
    example = torch.zeros(2, *shape)
    free: dict[int, object] = {0: torch.export.Dim.DYNAMIC}
    if fitted:  # working sizes are multiples of 32, and so the network never pads
        free |= {
            2: 32 * torch.export.Dim("rows", min=1),
            3: 32 * torch.export.Dim("columns", min=1),
        }
    # The exporter warns that torchvision, which is not needed, is not installed.
    with quiet(), muted("torch.onnx", logging.ERROR), undecided_start_method():
        program = torch.onnx.export(
            probability,
            (example,),
            input_names=["film"],
            output_names=["probability"],
            dynamic_shapes={"film": free},
            dynamo=True,
            optimize=False,
            verbose=False,
        )
    assert program is not None
    model = program.model_proto
    _remove_notes(model)
    weights = probability.state_dict()
    for tensor in model.graph.initializer:
        if tensor.name in weights:
            tensor.ClearField("raw_data")
    data: bytes = model.SerializeToString()
    return data


def _remove_notes(model: onnx.ModelProto) -> None:
    """Remove what the exporter notes of its calls: they contain the paths of this machine."""
    graphs = [model.graph, *model.functions]
    noted = [model, *graphs, *model.graph.initializer, *model.graph.input, *model.graph.output]
    for graph in graphs:
        noted += [*graph.node, *graph.value_info]
    for one in noted:
        one.ClearField("metadata_props")
        one.ClearField("doc_string")


def share_weights(path: Path, file: str) -> None:
    """Replace the weights in an ONNX file by references to the safetensors file beside it."""
    model = onnx.load(path)
    data, places = _table(path.with_name(file))
    for tensor in model.graph.initializer:
        first, last = places.get(tensor.name.removeprefix("network."), (0, 0))
        if last > first and data[first:last] == tensor.raw_data:
            onnx.external_data_helper.set_external_data(
                tensor, file, offset=first, length=last - first
            )
            tensor.ClearField("raw_data")
    path.write_bytes(model.SerializeToString())


def _table(path: Path) -> tuple[bytes, dict[str, tuple[int, int]]]:
    """The bytes of a safetensors file, and where in them each tensor begins and ends."""
    data = path.read_bytes()
    start = 8 + int.from_bytes(data[:8], "little")  # https://github.com/huggingface/safetensors
    table = json.loads(data[8:start])
    places = {
        name: entry["data_offsets"] for name, entry in table.items() if name != "__metadata__"
    }
    return data, {name: (start + first, start + last) for name, (first, last) in places.items()}
