"""A head that names the bones, on the decoder of a U-Net that finds them.

    names = NamedBones(network, BoneHead(network, len(NAMES)))
    names(film)        # N x 1 x H x W to logits N x 24 x H x W, one for each bone

Bones overlap on a film, so each has its own logit; all are read off the features that find bone, so
a network that names bones costs no more than one that finds them.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn import functional

from boneseg.networks.unet import UNet

_RARE = -4.0  # initial logit: few bones of the body are on a film


class BoneHead(nn.Module):
    """The features of every decoder level to logits N x `bones` x h x w at its finest level.

    Each level gives logits by a 1 x 1 convolution; those of coarser levels, which see more of the
    film, are upsampled and added, as in feature pyramids (Lin et al., 2017).
    """

    def __init__(self, network: UNet, bones: int) -> None:
        super().__init__()
        widths = network.widths[-2::-1] or network.widths
        self.levels = nn.ModuleList(_level(width, bones, _RARE / len(widths)) for width in widths)

    def forward(self, features: Sequence[Tensor]) -> Tensor:
        total: Tensor = self.levels[0](features[0])
        for level, finer in zip(self.levels[1:], features[1:], strict=True):
            total = functional.interpolate(total, finer.shape[-2:], mode="bilinear") + level(finer)
        return total


def _level(width: int, bones: int, logit: float) -> nn.Conv2d:
    """The convolution of a level, which first gives this logit everywhere."""
    level = nn.Conv2d(width, bones, 1)
    nn.init.zeros_(level.weight)
    nn.init.constant_(level.get_parameter("bias"), logit)
    return level


class NamedBones(nn.Module):
    """Films N x 1 x H x W, sides multiples of the network's stride, to logits N x bones x H x W."""

    def __init__(self, network: UNet, head: BoneHead) -> None:
        super().__init__()
        self.network = network
        self.head = head

    def forward(self, film: Tensor) -> Tensor:
        logits: Tensor = self.head(self.network.features(film))
        return functional.interpolate(logits, film.shape[-2:], mode="bilinear")
