"""Attention units of CBAM and their variants: channel maps, spatial maps, and both in either order."""

from __future__ import annotations

import torch
from monai.networks.layers.factories import Conv
from torch import Tensor, nn
from torch.nn.functional import pad

from pyraseg.pipeline.networks.checked_arguments import choice, positive_integer
from pyraseg.transforms.errors import ConfigError

__all__ = ["ATTENTIONS", "ORDERS", "ChannelAttention", "SpatialAttention", "attention_block"]

ATTENTIONS = ("none", "se", "cam", "sam", "cbam")
ORDERS = ("channel_first", "spatial_first")
SPATIAL_KERNEL = 7


class ChannelAttention(nn.Module):
    """Weigh the channels: ``F' = sigmoid(MLP(avgpool(F)) + MLP(maxpool(F))) * F``.

    One MLP serves both pools: C -> C/r -> C as 1x1 convolutions with a ReLU, without bias. Without the
    maximum this is the squeeze-and-excitation unit. Source: Woo et al., CBAM, ECCV 2018, equation 2; Hu et
    al., Squeeze-and-Excitation, CVPR 2018; CN113409326A [0099]-[0104].

    Args:
        spatial_dims: 2 or 3.
        channels: C, of input and output.
        reduction: r, at most C.
        max_pool: use the maximum beside the average ("cam"); False is "se".

    Raises:
        ConfigError: ``reduction`` is below 1 or above ``channels``.
    """

    def __init__(
        self, spatial_dims: int, channels: int, *, reduction: int = 16, max_pool: bool = True
    ) -> None:
        super().__init__()
        positive_integer("reduction", reduction)
        if reduction > channels:
            raise ConfigError(
                f"a reduction of at most {channels}, the channels it divides",
                found=str(reduction),
                remedy="Lower the reduction.",
            )
        self.out_channels = channels
        self.max_pool = max_pool
        self.dims = list(range(2, spatial_dims + 2))
        conv = Conv["conv", spatial_dims]
        self.mlp = nn.Sequential(
            conv(channels, channels // reduction, kernel_size=1, bias=False),
            nn.ReLU(inplace=True),
            conv(channels // reduction, channels, kernel_size=1, bias=False),
        )

    def attention_map(self, x: Tensor) -> Tensor:
        """The channels' weights, (B, C, H, W[, D]) -> (B, C, 1, 1[, 1]), each in (0, 1)."""
        logits = self.mlp(x.mean(dim=self.dims, keepdim=True))
        if self.max_pool:
            logits = logits + self.mlp(x.amax(dim=self.dims, keepdim=True))
        return torch.sigmoid(logits)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W[, D]) -> the same shape."""
        return x * self.attention_map(x)


class SpatialAttention(nn.Module):
    """Weigh positions: ``F'' = sigmoid(conv7x7([mean_c(F); max_c(F)])) * F``, the convolution without bias.

    Source: Woo et al., CBAM, ECCV 2018, equation 3; CN113409326A [0099]-[0104].

    Args:
        spatial_dims: 2 or 3 (a 7x7x7 kernel).
        channels: C, of input and output; the unit has the same parameters for every C.
    """

    def __init__(self, spatial_dims: int, channels: int) -> None:
        super().__init__()
        self.out_channels = channels
        conv = Conv["conv", spatial_dims]
        # Padded by hand: where the kernel is wider than the image, as at a pyramid of 3 x 3 x 3, oneDNN's
        # bfloat16 gradient of 3D weights reads uninitialised memory (torch 2.13): NaN now and then.
        self.margins = [SPATIAL_KERNEL // 2] * 2 * spatial_dims
        self.conv = conv(2, 1, kernel_size=SPATIAL_KERNEL, bias=False)

    def attention_map(self, x: Tensor) -> Tensor:
        """The weights of positions, (B, C, H, W[, D]) -> (B, 1, H, W[, D]), each in (0, 1)."""
        pooled = torch.cat([x.mean(dim=1, keepdim=True), x.amax(dim=1, keepdim=True)], dim=1)
        return torch.sigmoid(self.conv(pad(pooled, self.margins)))

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W[, D]) -> the same shape."""
        return x * self.attention_map(x)


def attention_block(
    name: str, spatial_dims: int, *, channels: int, reduction: int = 16, order: str = "channel_first"
) -> nn.Module:
    """Build the block called ``name``, (B, C, H, W[, D]) -> the same shape.

    Args:
        name: "cbam" (both units), "cam" (CBAM's channel unit), "se" (the same by the average alone), "sam"
            (CBAM's spatial unit) or "none" (nothing).
        spatial_dims, channels, reduction: as the units have them.
        order: which unit of "cbam" comes first, "channel_first" or "spatial_first".

    Raises:
        ConfigError: a name, order or reduction that does not exist.
    """
    choice("attention", name, ATTENTIONS)
    choice("order", order, ORDERS)
    if name == "none":
        return nn.Identity()
    if name == "sam":
        return SpatialAttention(spatial_dims, channels)
    channel = ChannelAttention(spatial_dims, channels, reduction=reduction, max_pool=name != "se")
    if name != "cbam":
        return channel
    units = [channel, SpatialAttention(spatial_dims, channels)]
    return nn.Sequential(*(units if order == "channel_first" else reversed(units)))
