"""One U-Net (Ronneberger et al., 2015), any depth and width, plain, residual or with attention.

>>> network = UNet(widths=(16, 32, 64))
>>> network(torch.zeros(1, 1, 100, 60)).shape
torch.Size([1, 1, 100, 60])
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from boneseg.networks.contract import NETWORKS, Network
from boneseg.recipes.network import SettledNetwork


@NETWORKS.register("unet")
def build_unet(settings: SettledNetwork, channels: int) -> Network:
    """The U-Net of a settled recipe."""
    return UNet(
        settings.widths,
        settings.block,
        settings.norm,
        settings.deep_supervision,
        channels,
        settings.attention,
        settings.stem,
    )


class UNet(nn.Module):
    """Films N x C x H x W of any size to logits N x `outputs` x H x W.

    Args:
        widths: channels at each level, full resolution first; a level halves the resolution.
        block: "plain" (two convolutions), "residual" (the same around a shortcut), or "separable"
            (depthwise separable convolutions; Howard et al., MobileNets, 2017).
        norm: "batch", "instance" or "none".
        deep_supervision: in training mode, return the logits of every decoder level, finest
            first; in evaluation mode, only the finest.
        attention: attention gates on the skip connections.
        stem: side of the patches, in pixels, that are folded into the channels of the first level
            and unfolded at the end; 1 means no folding.
        outputs: channels of the logits.
    """

    def __init__(
        self,
        widths: Sequence[int],
        block: str = "plain",
        norm: str = "batch",
        deep_supervision: bool = False,
        in_channels: int = 1,
        attention: bool = False,
        stem: int = 1,
        outputs: int = 1,
    ) -> None:
        super().__init__()
        self.deep_supervision = deep_supervision and len(widths) > 1
        self.widths = tuple(widths)
        self.stem, first = folding(in_channels, widths[0], stem)
        steps = list(zip([first, *widths], widths, strict=False))
        self.encoder = nn.ModuleList(Block(i, o, norm, block) for i, o in steps)
        pairs = list(zip(widths[1:], widths[:-1], strict=True))[::-1]  # coarse to fine
        self.up = nn.ModuleList(UpConvolution(i, o, 2, stride=2) for i, o in pairs)
        self.decoder = nn.ModuleList(Block(2 * o, o, norm, block) for _, o in pairs)
        self.gates = nn.ModuleList(AttentionGate(o, norm) for _, o in pairs if attention)
        heads = [o for _, o in pairs] if self.deep_supervision else [widths[0]]
        self.heads = nn.ModuleList(nn.Conv2d(width, outputs, 1) for width in heads[:-1])
        self.heads.append(unfolding(widths[0], stem, outputs))
        self.stride = stem * 2 ** (len(widths) - 1)
        self.apply(initialise)

    def forward(self, film: Tensor) -> Tensor | list[Tensor]:
        return self.logits(self.features(film), film.shape[-2:])

    def logits(self, features: Sequence[Tensor], size: Sequence[int]) -> Tensor | list[Tensor]:
        """The logits of films of `size` (height, width) from their features, as `forward`."""
        height, width = size
        padded = height % self.stride or width % self.stride
        if self.training and self.deep_supervision:
            outputs = [head(x) for head, x in zip(self.heads, features, strict=True)][::-1]
            return [outputs[0][..., :height, :width], *outputs[1:]] if padded else outputs
        finest: Tensor = self.heads[-1](features[-1])
        return finest[..., :height, :width] if padded else finest

    def encoded(self, film: Tensor) -> list[Tensor]:
        """The features of the padded film at every encoder level, finest first: N x C x h x w."""
        height, width = film.shape[-2:]
        rows, columns = -height % self.stride, -width % self.stride
        x = functional.pad(film, (0, columns, 0, rows)) if rows or columns else film
        x = self.stem(x)
        levels: list[Tensor] = []
        for level, block in enumerate(self.encoder):
            x = block(functional.max_pool2d(x, 2) if level else x)
            levels.append(x)
        return levels

    def features(self, film: Tensor) -> list[Tensor]:
        """The features of the padded film at every decoder level, coarsest first: N x C x h x w.

        The finest level has the resolution of the patches of the stem. A network of one level has
        only that of its encoder.
        """
        skips = self.encoded(film)
        decoded = [skips.pop()]
        for level, (up, block) in enumerate(zip(self.up, self.decoder, strict=True)):
            upsampled, skip = up(decoded[-1]), skips.pop()
            skip = self.gates[level](upsampled, skip) if self.gates else skip
            decoded.append(block(torch.cat([upsampled, skip], dim=1)))
        return decoded[1:] or decoded


def folding(channels: int, width: int, stem: int) -> tuple[nn.Module, int]:
    """Return the layer that folds patches of stem x stem pixels, and its output channels."""
    if stem == 1:
        return nn.Identity(), channels
    return nn.Conv2d(channels, width, stem, stride=stem), width


def unfolding(width: int, stem: int, outputs: int = 1) -> nn.Module:
    """Return the layer that gives the logits of every pixel of such patches."""
    if stem == 1:
        return nn.Conv2d(width, outputs, 1)
    return nn.ConvTranspose2d(width, outputs, stem, stride=stem)


class UpConvolution(nn.ConvTranspose2d):
    """A transposed convolution whose kernel equals its stride, so that its patches do not overlap.

    In training on a CPU it is computed as one matrix product over the channels: PyTorch's own
    takes twice as long, nearly all of it for the gradient of the weights.
    """

    def forward(self, input: Tensor, output_size: list[int] | None = None) -> Tensor:
        if not self.training or input.device.type != "cpu":
            return super().forward(input, output_size)
        films, channels, height, width = input.shape
        side, outputs = self.stride[0], self.out_channels
        weight = self.weight.permute(2, 3, 1, 0).reshape(-1, channels)
        bias = None if self.bias is None else self.bias.repeat(side * side)
        patches = functional.linear(input.permute(0, 2, 3, 1), weight, bias)
        patches = patches.view(films, height, width, side, side, outputs).transpose(2, 3)
        rows = patches.reshape(films, height * side, width * side, outputs)
        return rows.permute(0, 3, 1, 2)


class Block(nn.Module):
    """Two 3 x 3 convolutions, each with normalisation and ReLU; `kind` is `block` of `UNet`."""

    def __init__(self, inputs: int, outputs: int, norm: str, kind: str) -> None:
        super().__init__()
        convolution, bias = (
            SeparableConvolution if kind == "separable" else _convolution,
            norm == "none",
        )
        self.first = convolution(inputs, outputs, bias)
        self.first_norm = _norm(norm, outputs)
        self.second = convolution(outputs, outputs, bias)
        self.second_norm = _norm(norm, outputs)
        self.shortcut = nn.Conv2d(inputs, outputs, 1, bias=False) if kind == "residual" else None

    def forward(self, x: Tensor) -> Tensor:
        y = functional.relu(self.first_norm(self.first(x)), inplace=True)
        y = self.second_norm(self.second(y))
        if self.shortcut is not None:
            y = y + self.shortcut(x)
        return functional.relu(y, inplace=True)


def _convolution(inputs: int, outputs: int, bias: bool) -> nn.Module:
    return nn.Conv2d(inputs, outputs, 3, padding=1, bias=bias)


class SeparableConvolution(nn.Sequential):
    """A depthwise 3 x 3 convolution followed by a 1 x 1 convolution."""

    def __init__(self, inputs: int, outputs: int, bias: bool) -> None:
        each = nn.Conv2d(inputs, inputs, 3, padding=1, groups=inputs, bias=False)
        super().__init__(each, nn.Conv2d(inputs, outputs, 1, bias=bias))


class AttentionGate(nn.Module):
    """Additive attention (Oktay et al., "Attention U-Net", 2018, eq. 1 and 2).

    The upsampled features weight the pixels of the skip connection (both N x C x H x W); as in the
    authors' later code and MONAI, both have the resolution of the skip connection.
    """

    def __init__(self, channels: int, norm: str) -> None:
        super().__init__()
        inner, bias = max(1, channels // 2), norm == "none"
        self.below = nn.Sequential(nn.Conv2d(channels, inner, 1, bias=bias), _norm(norm, inner))
        self.skip = nn.Sequential(nn.Conv2d(channels, inner, 1, bias=bias), _norm(norm, inner))
        self.weight = nn.Conv2d(inner, 1, 1)

    def forward(self, upsampled: Tensor, skip: Tensor) -> Tensor:
        both = functional.relu(self.below(upsampled) + self.skip(skip), inplace=True)
        gated: Tensor = skip * self.weight(both).sigmoid()
        return gated


def _norm(kind: str, channels: int) -> nn.Module:
    if kind == "batch":
        return nn.BatchNorm2d(channels)
    if kind == "instance":
        return InstanceNorm(channels, affine=True)
    return nn.Identity()


class InstanceNorm(nn.InstanceNorm2d):
    """Instance norm (Ulyanov et al., 2016) that keeps the channels-last layout in training.

    On a CPU, PyTorch's own converts to channels-first and the next convolution converts back: a
    third of a training step. (With a single channels-last film, PyTorch 2.13 also computes a wrong
    gradient.) Batch norm of one film is equivalent and does neither.
    """

    def forward(self, input: Tensor) -> Tensor:
        if not self.training or input.device.type != "cpu":
            return super().forward(input)
        alone = [
            functional.batch_norm(film, None, None, self.weight, self.bias, True, eps=self.eps)
            for film in torch.split(input, 1)
        ]
        return torch.cat(alone)


def initialise(module: nn.Module) -> None:
    """Initialise the weights of a convolution after He et al., 2015."""
    if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
        nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
        if module.bias is not None:
            nn.init.zeros_(module.bias)
