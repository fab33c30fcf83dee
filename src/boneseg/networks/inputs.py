"""Network inputs: the film, copies of it, or the film with filtered versions of it.

>>> Filters()(torch.zeros(1, 1, 64, 64)).shape
torch.Size([1, 3, 64, 64])

They are layers without weights in front of the network and part of its exported graph, so that
every network takes a one-channel film at inference.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

CHANNELS = 3


class WithInputs(nn.Sequential):
    """An input layer in front of a network; weights are named "1.…" in the order of the two."""

    def __init__(self, inputs: nn.Module, network: nn.Module) -> None:
        super().__init__(inputs, network)

    @property
    def inputs(self) -> nn.Module:
        return self[0]

    @property
    def network(self) -> nn.Module:
        return self[1]


class Copies(nn.Module):
    """N x 1 x H x W to N x 3 x H x W: the film three times, as for networks made for colour."""

    def forward(self, film: Tensor) -> Tensor:
        return film.repeat(1, CHANNELS, 1, 1)


class Filters(nn.Module):
    """N x 1 x H x W to N x 3 x H x W: the film, the film blurred, and the strength of its edges.

    The blur is Gaussian with a standard deviation of 2 px; the edges are the magnitude of
    the Sobel gradient (Sobel and Feldman, 1968) divided by 8: the slope in grey values per pixel.
    """

    def __init__(self) -> None:
        super().__init__()
        offsets = torch.arange(-5.0, 6.0)
        bell = torch.exp(-0.5 * (offsets / 2) ** 2)
        bell = bell / bell.sum()
        slope = torch.tensor([[-1.0, 0.0, 1.0], [-2.0, 0.0, 2.0], [-1.0, 0.0, 1.0]]) / 8
        kernels = {"bell": torch.outer(bell, bell)[None, None]}
        kernels["sobel"] = torch.stack([slope, slope.T])[:, None]
        for name, kernel in kernels.items():
            self.register_buffer(name, kernel, persistent=False)  # not saved with the weights
        self.bell: Tensor
        self.sobel: Tensor

    def forward(self, film: Tensor) -> Tensor:
        blurred = functional.conv2d(functional.pad(film, (5, 5, 5, 5), mode="replicate"), self.bell)
        slopes = functional.conv2d(functional.pad(film, (1, 1, 1, 1), mode="replicate"), self.sobel)
        edges = (slopes.square().sum(1, keepdim=True) + 1e-12).sqrt()
        return torch.cat([film, blurred, edges], dim=1)
