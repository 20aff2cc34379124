"""One way to build any network of a configuration: the CBAM-ResNet-PSPNet, or one of MONAI's to compare it
with."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from monai.networks.nets import DynUNet, FlexibleUNet, SegResNet, UNet
from torch import Tensor, nn
from torch.nn import functional

from pyraseg.pipeline.networks.cbam_resnet_pspnet import CBAMResNetPSPNet
from pyraseg.pipeline.networks.checked_arguments import choice, fraction, positive_integer
from pyraseg.transforms.errors import ConfigError

__all__ = ["DEFAULT_NETWORK", "NETWORKS", "PaddedNetwork", "build_network"]

DEFAULT_NETWORK = "cbam_resnet_pspnet"


class PaddedNetwork(nn.Module):
    """A network that takes multiples of its stride only, for any size: (B, C, H, W[, D]) -> (B, K, H, W[,
    D]).

    The image's last row, column and slice are repeated up to the next multiple of ``stride``, and to two
    strides at least (a norm over one pixel has no variance); what the network makes of them is cut off again.

    Args:
        network: the network; (B, K, H, W[, D]) out at the size of its input.
        stride: what its input sizes are to be multiples of.
        options: the arguments of ``build_network`` that build it again, kept as an attribute.
    """

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


@dataclass(frozen=True)
class Baseline:
    """One of MONAI's networks: how it is built from (spatial_dims, in_channels, out_channels, dropout), its
    stride."""

    build: Callable[[int, int, int, float], nn.Module]
    stride: int


def _unet(spatial_dims: int, in_channels: int, out_channels: int, dropout: float) -> nn.Module:
    """Residual units as in MONAI's tutorials, twice their channels: 6.5 million parameters in 2D."""
    channels = (32, 64, 128, 256, 512)
    return UNet(
        spatial_dims,
        in_channels,
        out_channels,
        channels,
        strides=(2, 2, 2, 2),
        num_res_units=2,
        dropout=dropout,
    )


class ZeroShortcut(nn.Module):
    """The parameter-free shortcut of a small ResNet, (B, C, H, W[, D]) -> (B, planes, H/s, W/s[, D/s]): He et
    al.'s option A. MONAI's is a function that makes its zeros anew, which neither TorchScript nor
    torch.export takes.
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


def _flexible_unet(spatial_dims: int, in_channels: int, out_channels: int, dropout: float) -> nn.Module:
    network = FlexibleUNet(
        in_channels, out_channels, "resnet34", pretrained=False, spatial_dims=spatial_dims, dropout=dropout
    )
    for block in network.encoder.modules():
        shortcut = getattr(block, "downsample", None)
        if isinstance(shortcut, partial):
            arguments = shortcut.keywords
            block.downsample = ZeroShortcut(
                arguments["planes"], arguments["stride"], spatial_dims=spatial_dims
            )
    return network


def _segresnet(spatial_dims: int, in_channels: int, out_channels: int, dropout: float) -> nn.Module:
    return SegResNet(spatial_dims, 32, in_channels, out_channels, dropout_prob=dropout or None)


def _dynunet(spatial_dims: int, in_channels: int, out_channels: int, dropout: float) -> nn.Module:
    """nnU-Net's plain architecture with six resolutions, without deep supervision."""
    strides = [1, 2, 2, 2, 2, 2]
    return DynUNet(
        spatial_dims,
        in_channels,
        out_channels,
        [3] * len(strides),
        strides,
        strides[1:],
        dropout=dropout or None,
    )


BASELINES = {
    "unet": Baseline(_unet, stride=16),
    "flexible_unet": Baseline(_flexible_unet, stride=32),
    "segresnet": Baseline(_segresnet, stride=8),
    "dynunet": Baseline(_dynunet, stride=32),
}
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
    """Build a segmentation network by its name: (B, in_channels, H, W[, D]) -> logits (B, K, H, W[, D]), any
    size.

    Args:
        name: "cbam_resnet_pspnet", or a baseline: "unet", "flexible_unet" (ResNet-34 encoder), "segresnet",
            "dynunet". No weights are downloaded.
        spatial_dims, in_channels, out_channels: as ``CBAMResNetPSPNet``.
        dropout: where the network of that name has it: whole channels in the heads of the CBAM-ResNet-PSPNet.
        options: further arguments of ``CBAMResNetPSPNet`` (depth, attention, aux, ...). None, and False for
            ``aux``, stand for "not set". A baseline has none of them.

    Returns:
        The network; its attribute ``options`` holds all arguments as plain values, ``name`` among them.

    Raises:
        ConfigError: an unknown name, a value out of its range, or an option that the network does not have.
    """
    choice("network_name", name, NETWORKS)
    given = {key: value for key, value in options.items() if value is not None}
    common: dict[str, Any] = {
        "spatial_dims": spatial_dims,
        "in_channels": in_channels,
        "out_channels": out_channels,
    }
    common["dropout"] = dropout
    if name == DEFAULT_NETWORK:
        _refuse(name, given.keys() - inspect.signature(CBAMResNetPSPNet).parameters.keys())
        network = CBAMResNetPSPNet(**common, **given)
        network.options = {"name": name, **network.options}
        return network
    _refuse(name, {key for key, value in given.items() if value is not False})
    _check(**common)
    baseline = BASELINES[name]
    return PaddedNetwork(baseline.build(*common.values()), baseline.stride, options={"name": name, **common})


def _refuse(name: str, options: set[str]) -> None:
    if options:
        given = ", ".join(sorted(options))
        raise ConfigError(
            f"options that the network {name} has",
            found=given,
            remedy=f"Leave out {given}, or set --network_name {DEFAULT_NETWORK}."
            if name != DEFAULT_NETWORK
            else f"Leave out {given}.",
        )


def _check(spatial_dims: int, in_channels: int, out_channels: int, dropout: float) -> None:
    choice("spatial_dims", spatial_dims, (2, 3))
    positive_integer("in_channels", in_channels)
    positive_integer("out_channels", out_channels)
    fraction("dropout", dropout)
