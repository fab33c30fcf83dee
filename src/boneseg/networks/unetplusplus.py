"""U-Net++ (Zhou et al., 2018): nested U-Nets of every depth with a shared encoder.

>>> network = UNetPlusPlus(widths=(16, 32, 64))
>>> network(torch.zeros(1, 1, 100, 60)).shape
torch.Size([1, 1, 100, 60])
>>> network.pruned(1)(torch.zeros(1, 1, 100, 60)).shape
torch.Size([1, 1, 100, 60])

Node (level, j) takes all nodes (level, 0 .. j - 1) and the upsampled node (level + 1, j - 1). Node
(0, j) is the output of a U-Net of depth j, so that with a loss at each of them (deep supervision)
the trained network can be pruned to any depth.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from boneseg.networks.contract import NETWORKS, Network
from boneseg.networks.unet import Block, UpConvolution, folding, initialise, unfolding
from boneseg.recipes.network import SettledNetwork


@NETWORKS.register("unetplusplus")
def build_unetplusplus(settings: SettledNetwork, channels: int) -> Network:
    """The U-Net++ of a settled recipe."""
    return UNetPlusPlus(
        settings.widths,
        settings.block,
        settings.norm,
        settings.deep_supervision,
        channels,
        settings.stem,
    )


class UNetPlusPlus(nn.Module):
    """Films N x C x H x W of any size to logits N x 1 x H x W.

    Args:
        widths: channels at each level, full resolution first; a level halves the resolution.
        block: "plain", "residual" or "separable", as in `UNet`.
        norm: "batch", "instance" or "none".
        deep_supervision: in training mode, return the logits of every depth, the deepest first,
            all at full resolution; in evaluation mode, only the deepest.
        stem: side of the folded patches in pixels, as in `UNet`.
    """

    def __init__(
        self,
        widths: Sequence[int],
        block: str = "plain",
        norm: str = "batch",
        deep_supervision: bool = False,
        in_channels: int = 1,
        stem: int = 1,
    ) -> None:
        super().__init__()
        self.block, self.norm, self.patch, self.in_channels = block, norm, stem, in_channels
        self.widths, self.depth = tuple(widths), len(widths) - 1
        self.deep_supervision = deep_supervision and self.depth > 1
        self.stem, first = folding(in_channels, widths[0], stem)
        steps = zip([first, *widths], widths, strict=False)
        self.encoder = nn.ModuleList(Block(i, o, norm, block) for i, o in steps)
        self.up, self.nodes = nn.ModuleDict(), nn.ModuleDict()
        for level, j in _order(self.depth):
            below, here = widths[level + 1], widths[level]
            self.up[f"{level}-{j}"] = UpConvolution(below, here, 2, stride=2)
            self.nodes[f"{level}-{j}"] = Block((j + 1) * here, here, norm, block)
        depths = range(1, self.depth + 1) if self.deep_supervision else [self.depth]
        self.heads = nn.ModuleDict({str(j): unfolding(widths[0], stem) for j in depths})
        self.stride = stem * 2**self.depth
        self.apply(initialise)

    def forward(self, film: Tensor) -> Tensor | list[Tensor]:
        height, width = film.shape[-2:]
        rows, columns = -height % self.stride, -width % self.stride
        x = functional.pad(film, (0, columns, 0, rows)) if rows or columns else film
        x = self.stem(x)

        found: dict[tuple[int, int], Tensor] = {}
        for level, block in enumerate(self.encoder):
            x = block(functional.max_pool2d(x, 2) if level else x)
            found[level, 0] = x
        for level, j in _order(self.depth):
            beside = [found[level, k] for k in range(j)]
            upsampled = self.up[f"{level}-{j}"](found[level + 1, j - 1])
            found[level, j] = self.nodes[f"{level}-{j}"](torch.cat([*beside, upsampled], dim=1))

        depths = sorted(map(int, self.heads), reverse=True)
        if not self.training:
            depths = depths[:1]
        logits = [self.heads[str(j)](found[0, j])[..., :height, :width] for j in depths]
        return logits if self.training and self.deep_supervision else logits[0]

    @property
    def depths(self) -> list[int]:
        """The depths of the heads, if there are several."""
        return sorted(map(int, self.heads)) if len(self.heads) > 1 else []

    def pruned(self, depth: int) -> UNetPlusPlus:
        """Return the U-Net++ of a smaller depth (1 or more) inside this one, with copied weights.

        It is built from widths[: depth + 1], and gives the output of this network's head at that
        depth, for films that need no padding here. Raises ValueError where there is no such head.
        """
        if str(depth) not in self.heads:
            raise ValueError(f"there is no head at depth {depth}; train with deep supervision")
        small = UNetPlusPlus(
            self.widths[: depth + 1],
            self.block,
            self.norm,
            in_channels=self.in_channels,
            stem=self.patch,
        )
        ours = self.state_dict()
        small.load_state_dict({name: ours[name].clone() for name in small.state_dict()})
        return small.train(self.training)


def _order(depth: int) -> list[tuple[int, int]]:
    """The nested nodes (level, j) in order of dependency."""
    return [(level, j) for j in range(1, depth + 1) for level in range(depth - j + 1)]
