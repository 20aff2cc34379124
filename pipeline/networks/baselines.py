"""Build any network of a configuration: the CBAM-ResNet-PSPNet, or one of MONAI's as a baseline."""

from __future__ import annotations

import inspect
from functools import partial
from typing import Any

import torch
from monai.networks import nets
from torch import Tensor, nn
from torch.nn import functional

from pyraseg.pipeline.networks.cbam_resnet_pspnet import CBAMResNetPSPNet
from pyraseg.pipeline.networks.checked_arguments import choice, fraction, positive_integer
from pyraseg.transforms.errors import ConfigError

__all__ = [
    "DEFAULT_NETWORK",
    "NETWORKS",
    "DynUNet",
    "FlexibleUNet",
    "PaddedNetwork",
    "SegResNet",
    "UNet",
    "build_network",
]

DEFAULT_NETWORK = "cbam_resnet_pspnet"


class PaddedNetwork(nn.Module):
    """A network for multiples of its stride, made to take any size: (B, C, H, W[, D]) -> (B, K, H, W[, D]).

    The image's last row, column and slice are repeated up to the next multiple of ``stride``, and to two
    strides at least (a norm over one pixel has no variance). The scores there are cropped.

    Args:
        network: its output (B, K, H, W[, D]) has the size of its input.
        stride: its input sizes must be multiples of it.
        options: the arguments of ``build_network`` that build it again; an attribute.

    Attributes:
        encoder_end: the name of the module whose output are the deepest features; None where nobody knows.

    Raises:
        ConfigError: an option out of its range.
    """

    encoder_end: str | None = None

    def __init__(self, network: nn.Module, stride: int, *, options: dict[str, Any]) -> None:
        super().__init__()
        self.network = network
        self.stride = stride
        self.options = options

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W[, D]) -> (B, K, H, W[, D])."""
        # By indices: functional.pad and slices bind an exported graph to what the size of its example needed.
        sizes = x.shape[2:]
        for axis, size in enumerate(sizes):
            target = max((size + self.stride - 1) // self.stride, 2) * self.stride
            x = x.index_select(axis + 2, torch.arange(target, device=x.device).clamp(max=size - 1))
        y = self.network(x)
        for axis, size in enumerate(sizes):
            y = y.index_select(axis + 2, torch.arange(size, device=x.device))
        return y


class ZeroShortcut(nn.Module):
    """He et al.'s parameter-free shortcut (option A), (B, C, H, W[, D]) -> (B, planes, H/s, W/s[, D/s]).

    MONAI's is a function that makes its zeros anew, which neither TorchScript nor torch.export takes.
    """

    def __init__(self, planes: int, stride: int, *, spatial_dims: int) -> None:
        super().__init__()
        self.planes = planes
        pooling = nn.AvgPool2d if spatial_dims == 2 else nn.AvgPool3d
        self.pooling = pooling(kernel_size=1, stride=stride)
        self.axes = [0, 0] * spatial_dims

    def forward(self, x: Tensor) -> Tensor:
        y = self.pooling(x)
        return functional.pad(y, self.axes + [0, self.planes - y.shape[1]])  # noqa: RUF005 - TorchScript cannot unpack


class UNet(PaddedNetwork):
    """MONAI's UNet with residual units, twice its tutorials' channels: 6.5 million parameters in 2D.

    Args:
        spatial_dims, in_channels, out_channels, dropout: as ``CBAMResNetPSPNet``; so in the other baselines.

    Raises:
        ConfigError: one of them out of its range.

    Example:
        >>> UNet(2, 1, 3)(torch.zeros(1, 1, 40, 50)).shape
        torch.Size([1, 3, 40, 50])
    """

    encoder_end = "network.model.1.submodule.1.submodule.1.submodule.1.submodule"

    def __init__(
        self, spatial_dims: int = 2, in_channels: int = 3, out_channels: int = 3, dropout: float = 0.1
    ) -> None:
        options = _options("unet", spatial_dims, in_channels, out_channels, dropout)
        channels, strides = (32, 64, 128, 256, 512), (2, 2, 2, 2)
        network = nets.UNet(
            spatial_dims, in_channels, out_channels, channels, strides, num_res_units=2, dropout=dropout
        )
        super().__init__(network, 16, options=options)


class FlexibleUNet(PaddedNetwork):
    """MONAI's FlexibleUNet with a ResNet-34 as its encoder; no weights are downloaded.

    Example:
        >>> FlexibleUNet(2, 1, 3).options["name"]
        'flexible_unet'
    """

    encoder_end = "network.encoder.layer4"

    def __init__(
        self, spatial_dims: int = 2, in_channels: int = 3, out_channels: int = 3, dropout: float = 0.1
    ) -> None:
        options = _options("flexible_unet", spatial_dims, in_channels, out_channels, dropout)
        network = nets.FlexibleUNet(
            in_channels,
            out_channels,
            "resnet34",
            pretrained=False,
            spatial_dims=spatial_dims,
            dropout=dropout,
        )
        for block in network.encoder.modules():
            shortcut = getattr(block, "downsample", None)
            if isinstance(shortcut, partial):
                block.downsample = ZeroShortcut(
                    shortcut.keywords["planes"], shortcut.keywords["stride"], spatial_dims=spatial_dims
                )
        super().__init__(network, 32, options=options)


class SegResNet(PaddedNetwork):
    """MONAI's SegResNet with 32 filters.

    Example:
        >>> SegResNet(2, 1, 3)(torch.zeros(1, 1, 40, 50)).shape
        torch.Size([1, 3, 40, 50])
    """

    encoder_end = "network.down_layers.3"

    def __init__(
        self, spatial_dims: int = 2, in_channels: int = 3, out_channels: int = 3, dropout: float = 0.1
    ) -> None:
        options = _options("segresnet", spatial_dims, in_channels, out_channels, dropout)
        network = nets.SegResNet(spatial_dims, 32, in_channels, out_channels, dropout_prob=dropout or None)
        super().__init__(network, 8, options=options)


class DynUNet(PaddedNetwork):
    """nnU-Net's plain architecture with six resolutions, without deep supervision.

    Example:
        >>> DynUNet(2, 1, 3).stride
        32
    """

    encoder_end = "network.bottleneck"

    def __init__(
        self, spatial_dims: int = 2, in_channels: int = 3, out_channels: int = 3, dropout: float = 0.1
    ) -> None:
        options = _options("dynunet", spatial_dims, in_channels, out_channels, dropout)
        strides = [1, 2, 2, 2, 2, 2]
        kernels = [3] * len(strides)
        network = nets.DynUNet(
            spatial_dims, in_channels, out_channels, kernels, strides, strides[1:], dropout=dropout or None
        )
        super().__init__(network, 32, options=options)


def _options(
    name: str, spatial_dims: int, in_channels: int, out_channels: int, dropout: float
) -> dict[str, Any]:
    choice("spatial_dims", spatial_dims, (2, 3))
    positive_integer("in_channels", in_channels)
    positive_integer("out_channels", out_channels)
    fraction("dropout", dropout)
    return {
        "name": name,
        "spatial_dims": spatial_dims,
        "in_channels": in_channels,
        "out_channels": out_channels,
        "dropout": dropout,
    }


BASELINES = {"unet": UNet, "flexible_unet": FlexibleUNet, "segresnet": SegResNet, "dynunet": DynUNet}
NETWORKS = (DEFAULT_NETWORK, *BASELINES)


def build_network(
    name: str = DEFAULT_NETWORK,
    spatial_dims: int = 2,
    *,
    in_channels: int = 3,
    out_channels: int = 3,
    dropout: float = 0.1,
    **options: Any,
) -> nn.Module:
    """Build a network from a checkpoint's options: (B, in_channels, H, W[, D]) -> logits (B, K, H, W[, D]).

    Args:
        name: one of ``NETWORKS``; not a class, because no code in a checkpoint may run.
        spatial_dims, in_channels, out_channels, dropout: as ``CBAMResNetPSPNet``.
        options: its further arguments (depth, attention, aux, ...). None, and False for ``aux``, stand for
            "not set". A baseline has none of them.

    Returns:
        The network; its attribute ``options`` holds all arguments as plain values.

    Raises:
        ConfigError: an unknown name, a value out of its range, or an option that the network does not have.

    Example:
        >>> build_network("segresnet", 2, in_channels=1, out_channels=3, dropout=0.0).options["name"]
        'segresnet'
    """
    choice("network name", name, NETWORKS)
    given = {key: value for key, value in options.items() if value is not None}
    allowed = inspect.signature(CBAMResNetPSPNet).parameters if name == DEFAULT_NETWORK else ()
    unknown = [key for key, value in given.items() if key not in allowed and (value is not False or allowed)]
    if unknown:
        words = ", ".join(sorted(unknown))
        raise ConfigError(f"options that the network {name} has", found=words, remedy=f"Leave out {words}.")
    if name == DEFAULT_NETWORK:
        return CBAMResNetPSPNet(
            spatial_dims, in_channels, out_channels=out_channels, dropout=dropout, **given
        )
    return BASELINES[name](spatial_dims, in_channels, out_channels, dropout)
