"""The ONNX file of a model: its export, and its weights shared with the safetensors file."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from pathlib import Path

import onnx
import torch
from torch import nn

from boneseg._util.quiet import muted, quiet, undecided_start_method


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
    example = torch.zeros(2, *shape)
    free: dict[int, object] = {0: torch.export.Dim.DYNAMIC}
    if fitted:  # working sizes are multiples of 32, and so the network never pads
        free |= {
            2: 32 * torch.export.Dim("rows", min=1),
            3: 32 * torch.export.Dim("columns", min=1),
        }
    # The exporter warns that torchvision, which is not needed, is not installed.
    with quiet(), muted("torch.onnx", logging.ERROR), undecided_start_method():
        torch.onnx.export(
            _Probability(network).eval(),
            (example,),
            path,
            input_names=["film"],
            output_names=["probability"],
            dynamic_shapes={"film": free},
            dynamo=True,
            external_data=False,
            verbose=False,
        )


def share_weights(path: Path, files: Mapping[str, str]) -> None:
    """Replace weights in an ONNX file by references to identical bytes in safetensors files.

    files: those beside it, by the beginning of the names of the network's modules that they hold;
    a file has these names without it. Weights that the export has changed (batch norms folded into
    convolutions) stay in the ONNX file.
    """
    model = onnx.load(path)
    held = {start: (file, *_table(path.with_name(file))) for start, file in files.items()}
    for tensor in model.graph.initializer:
        name = tensor.name.removeprefix("network.")
        for start, (file, data, places) in held.items():
            first, last = places.get(name.removeprefix(start), (0, 0))
            if name.startswith(start) and last > first and data[first:last] == tensor.raw_data:
                onnx.external_data_helper.set_external_data(
                    tensor, file, offset=first, length=last - first
                )
                tensor.ClearField("raw_data")
                break
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
