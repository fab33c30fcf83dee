"""The contract of a network, and the registry of all networks.

A network is a `torch.nn.Module` that maps films to logits of bone:

- Input: N x C x H x W with N >= 1 and C as given to its builder, of the dtype of the weights:
  float32, or bfloat16 on GPUs; training may run under autocast. The first channel is the film on
  the working grid, of mean 0 and standard deviation 1, bone bright, 0 beyond the film's edge.
- Output: logits of the same dtype, N x 1 x H x W; the probability of bone is their sigmoid. Films
  are independent of each other in evaluation mode, and in training mode except for BatchNorm2d,
  which several devices compute together. With `run.batch_invariant` it is called in training with
  `PerFilm`s of N = 1, which functions of PyTorch take, but no `autograd.Function`.
- Sizes: any H and W from 1; a network that halves the resolution pads and crops by itself. Working
  sizes are multiples of 32, and H and W are multiples of `stride` in training.
- Deep supervision: in training mode a network may return a list of logits, the finest (N x 1 x H x
  W) first, coarser ones N x 1 x h x w; in evaluation mode it returns only the finest.
- Export: `forward` can be exported by `torch.onnx.export(dynamo=True)`: no branch on values.

A builder makes the network of a settled recipe, with initial weights from PyTorch's global random
generator. It uses the settings that apply to its network, and raises RecipeError for a combination
that it cannot build. `tests/unit/networks/test_contract.py` checks every registered network.
"""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from torch import Tensor

from boneseg._util.registry import Registry
from boneseg.recipes.network import SettledNetwork


@runtime_checkable
class Network(Protocol):
    """A network, as the module describes it.

    stride: height and width of which a training batch is padded to a multiple, px; 1 if any will
    do. A deeply supervised network needs it: its coarse outputs would otherwise cover the padding.
    """

    stride: int

    def __call__(self, film: Tensor, /) -> Tensor | list[Tensor]: ...


@runtime_checkable
class Prunable(Protocol):
    """A network that holds smaller networks of other depths.

    depths: those that it can be pruned to, ascending; empty if it has only one head.
    """

    @property
    def depths(self) -> list[int]: ...

    def pruned(self, depth: int, /) -> Network:
        """A copy of the smaller network. Raises ValueError for a missing depth."""


class Builder(Protocol):
    """Builds a network with `channels` input channels: 1, or 3 for `network.inputs`."""

    def __call__(self, settings: SettledNetwork, channels: int, /) -> Network: ...


NETWORKS: Registry[Builder] = Registry("network")
