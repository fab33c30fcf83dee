"""The ONNX file of a model: its export, and its weights shared with the safetensors file."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import onnx
import torch
from torch import nn

from boneseg._util.quiet import muted, quiet, undecided_start_method
from boneseg.bundle.card import ONNX, WEIGHTS, Card


class _Probability(nn.Module):
    """Films float32 N x 1 x H x W to the probability of bone, float32 N x members x H x W."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network
        self.dtype = next(network.parameters()).dtype

    def forward(self, film: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.network(film.to(self.dtype))
        return logits.float().sigmoid()


def export(network: nn.Module, path: Path, card: Card) -> None:
    """Write the network as ONNX, for any number of films, and any size where it is fitted."""
    example = torch.zeros(2, 1, card.height, card.width)
    free: dict[int, object] = {0: torch.export.Dim.DYNAMIC}
    if card.fitted:  # working sizes are multiples of 32, and so the network never pads
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


def share_weights(folder: Path) -> None:
    """Replace weights in the ONNX file by references to identical bytes in weights.safetensors.

    Weights that the export has changed (batch norms folded into convolutions) stay in it.
    """
    model, file = onnx.load(folder / ONNX), (folder / WEIGHTS).read_bytes()
    start = 8 + int.from_bytes(file[:8], "little")  # https://github.com/huggingface/safetensors
    table = json.loads(file[8:start])
    for tensor in model.graph.initializer:
        entry = table.get(tensor.name.removeprefix("network."), {"data_offsets": (0, 0)})
        first, last = entry["data_offsets"]
        if last > first and file[start + first : start + last] == tensor.raw_data:
            onnx.external_data_helper.set_external_data(
                tensor, WEIGHTS, offset=start + first, length=last - first
            )
            tensor.ClearField("raw_data")
    (folder / ONNX).write_bytes(model.SerializeToString())
