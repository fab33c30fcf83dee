"""The network that finds the outline of bone on a finer grid.

    outline = outline_network((24, 48, 96, 192, 256))
    outline(seen)        # N x 2 x H x W to logits N x 1 x H x W

It is a U-Net of its own. It is shown the film (standardised) on the finer grid, and the probability
of bone that was found on coarser ones, as -1 to 1: what is bone at all is known there already, and
it learns where that ends.
"""

from __future__ import annotations

from collections.abc import Sequence

from boneseg.networks.unet import UNet

STEM = 2  # px: side of the patches of its first layer


def outline_network(widths: Sequence[int]) -> UNet:
    """A network that finds outlines, with new weights.

    widths: channels of its levels, finest first.
    """
    return UNet(widths, norm="instance", deep_supervision=True, in_channels=2, stem=STEM)
