"""A decoder that names the bones, on the encoder of a U-Net that finds them.

    named = NamedBones(network, BoneDecoder(network.widths, len(NAMES)))
    named(film)        # N x 1 x H x W to logits N x 24 x H x W, one for each bone

Bones overlap on a film, so each has its own logit. The encoder is that of the network that finds
bone and stays as it is: naming bones does not change the mask. Which bone a piece is depends on the
whole film: every level of this decoder also sees a mean of the coarsest features, and has
batch norm: instance norm would remove what is the same all over a film.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from boneseg.networks.unet import Block, UNet, initialise

WIDTHS = (32, 48, 64, 96, 128)  # channels of the decoder's levels, finest first
_RARE = -4.0  # initial logit: few bones of the body are on a film


class BoneDecoder(nn.Module):
    """The features of an encoder to logits N x `bones` x h x w, of the size of the finest ones.

    Args:
        encoder: channels of the encoder's levels, finest first.
        bones: number of bones.
        widths: channels of this decoder's levels, finest first, as many as the encoder has.
    """

    def __init__(self, encoder: Sequence[int], bones: int, widths: Sequence[int] = WIDTHS) -> None:
        super().__init__()
        widths = tuple(widths)[: len(encoder)]
        self.inputs = nn.ModuleList(
            nn.Conv2d(i, o, 1) for i, o in zip(encoder, widths, strict=True)
        )
        self.whole = nn.Conv2d(encoder[-1], widths[-1], 1)
        self.context = nn.ModuleList(nn.Linear(widths[-1], o) for o in widths)
        self.blocks = nn.ModuleList(
            Block(o + coarser, o, "batch", "plain")
            for o, coarser in zip(widths, (*widths[1:], 0), strict=True)
        )
        self.present = nn.Linear(widths[-1], bones)
        self.head = nn.Conv2d(widths[0], bones, 1)
        self.apply(initialise)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.present.weight)
        nn.init.zeros_(self.present.bias)
        nn.init.constant_(self.head.get_parameter("bias"), _RARE)

    def forward(self, features: Sequence[Tensor]) -> Tensor:
        """Logits of the features of `UNet.encoded`."""
        whole = functional.relu(self.whole(features[-1])).mean((2, 3))
        below: Tensor | None = None
        for level in reversed(range(len(features))):
            x = self.inputs[level](features[level])
            x = functional.relu(x + self.context[level](whole)[..., None, None])
            if below is not None:
                below = functional.interpolate(below, x.shape[-2:], mode="bilinear")
                x = torch.cat([x, below], dim=1)
            below = self.blocks[level](x)
        logits: Tensor = self.head(below) + self.present(whole)[..., None, None]
        return logits


class NamedBones(nn.Module):
    """Films N x 1 x H x W to logits N x bones x H x W."""

    def __init__(self, network: UNet, decoder: BoneDecoder) -> None:
        super().__init__()
        self.network = network
        self.decoder = decoder

    def forward(self, film: Tensor) -> Tensor:
        height, width = film.shape[-2:]
        stride = self.network.stride
        padded = (height + -height % stride, width + -width % stride)  # as the encoder pads
        logits = self.decoder(self.network.encoded(film))
        return functional.interpolate(logits, padded, mode="bilinear")[..., :height, :width]
