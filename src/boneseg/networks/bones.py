"""The network that names the bones in the mask of a film.

    names = bone_names((16, 32, 64), bones=24, parts=20)
    names(seen)        # N x 22 x H x W to logits N x 24 x H x W, one for each bone

It is a U-Net of its own, on a coarse grid that every film fills, whatever its shape. It is shown
the film (standardised), the probability of bone as -1 to 1, and the probability of each body part,
the same everywhere: which bone a piece is depends on the part, and a network that is told it learns
the names several times as fast. Bones overlap on a film, so each has its own logit.
"""

from __future__ import annotations

from collections.abc import Sequence

from boneseg.networks.unet import UNet

STEM = 2  # px: side of the patches of its first layer


def bone_names(widths: Sequence[int], bones: int, parts: int) -> UNet:
    """A network that names bones, with new weights.

    widths: channels of its levels, finest first. bones, parts: their number.
    """
    return UNet(widths, norm="batch", in_channels=2 + parts, stem=STEM, outputs=bones)
