"""Pyramid pooling and the segmentation heads of PSPNet (Zhao et al., CVPR 2017)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from monai.networks.layers.factories import Conv, Dropout
from torch import Tensor, nn
from torch.nn import functional

from pyraseg.pipeline.networks.blocks import conv_norm
from pyraseg.pipeline.networks.checked_arguments import fraction, positive_integer
from pyraseg.transforms.errors import ConfigError

__all__ = [
    "AdaptiveAveragePool",
    "PyramidLevel",
    "PyramidPooling",
    "Refinement",
    "SegmentationHead",
    "resize_like",
]


def resize_like(x: Tensor, reference: Tensor) -> Tensor:
    """Resample (B, C, H, W[, D]) linearly to the reference's size, with ``align_corners=False``."""
    mode = "bilinear" if x.dim() == 4 else "trilinear"
    return functional.interpolate(x, size=reference.shape[2:], mode=mode, align_corners=False)


class AdaptiveAveragePool(nn.Module):
    """Average over ``bins`` boxes per axis, (B, C, H, W[, D]) -> (B, C, bins, bins[, bins]).

    In 3D it replaces torch's ``AdaptiveAvgPool3d``, which no ONNX exporter takes, by two poolings in 2D: the
    mean over a box is the mean along one axis of the means over the other two.
    """

    def __init__(self, bins: int) -> None:
        super().__init__()
        self.bins = bins

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W[, D]) -> (B, C, bins, bins[, bins])."""
        bins = self.bins
        if x.dim() == 4:
            return functional.adaptive_avg_pool2d(x, (bins, bins))
        batch, channels, height = x.shape[0], x.shape[1], x.shape[2]
        planes = functional.adaptive_avg_pool2d(x.flatten(1, 2), (bins, bins))
        columns = planes.reshape(batch, channels, height, bins * bins)
        boxes = functional.adaptive_avg_pool2d(columns, (bins, bins * bins))
        return boxes.reshape(batch, channels, bins, bins, bins)


class PyramidLevel(nn.Module):
    """Adaptive average pool to ``bins`` per axis, 1x1 convolution, batch norm, ReLU, resized to the input.

    A batch of one has one value per channel at level 1, without a variance: the norm then uses its running
    statistics, in training too.
    """

    def __init__(self, spatial_dims: int, in_channels: int, *, out_channels: int, bins: int) -> None:
        super().__init__()
        self.out_channels = out_channels
        self.pool = AdaptiveAveragePool(bins)
        self.conv, self.norm = conv_norm(spatial_dims, in_channels, out_channels=out_channels)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W[, D]) -> (B, out_channels, H, W[, D])."""
        y = self.conv(self.pool(x))
        if self.training and y.numel() == y.shape[1]:
            norm = self.norm
            y = functional.batch_norm(
                y, norm.running_mean, norm.running_var, norm.weight, norm.bias, eps=norm.eps
            )
        else:
            y = self.norm(y)
        return resize_like(self.relu(y), x)


class PyramidPooling(nn.Module):
    """The input beside its averages over ever finer grids, (B, C, H, W[, D]) -> (B, out_channels, H, W[, D]).

    Args:
        spatial_dims: 2 or 3.
        in_channels: C; each level gets C divided by the number of levels, rounded down.
        bins: cells per axis of each level, coarse to fine.

    Raises:
        ConfigError: no bins, more bins than channels, or a bin that is no whole number above 0.
    """

    def __init__(self, spatial_dims: int, in_channels: int, *, bins: Sequence[int] = (1, 2, 3, 6)) -> None:
        super().__init__()
        if isinstance(bins, str) or not isinstance(bins, Sequence) or not 0 < len(bins) <= in_channels:
            raise ConfigError(
                "bins to be a list of cells per axis",
                found=repr(bins),
                remedy="Set bins to (1, 2, 3, 6) or another list.",
            )
        for value in bins:
            positive_integer("each of bins", value)
        width = in_channels // len(bins)
        self.out_channels = in_channels + width * len(bins)
        self.levels = nn.ModuleList(
            PyramidLevel(spatial_dims, in_channels, out_channels=width, bins=value) for value in bins
        )

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W[, D]) -> (B, out_channels, H, W[, D]), the input's channels first."""
        features = [x]
        for level in self.levels:
            features.append(level(x))  # noqa: PERF401  TorchScript has no comprehension over modules
        return torch.cat(features, dim=1)


class SegmentationHead(nn.Sequential):
    """3x3 convolution to ``width``, batch norm, ReLU, dropout of whole channels, 1x1 convolution to logits.

    A refinement goes between its two halves, `features` and `classify`.

    Raises:
        ConfigError: ``dropout`` outside [0, 1).
    """

    def __init__(
        self, spatial_dims: int, in_channels: int, *, width: int, out_channels: int, dropout: float = 0.1
    ) -> None:
        fraction("dropout", dropout)
        conv, norm = conv_norm(spatial_dims, in_channels, out_channels=width, kernel_size=3)
        classifier = Conv["conv", spatial_dims](width, out_channels, kernel_size=1)
        super().__init__(
            conv, norm, nn.ReLU(inplace=True), Dropout["dropout", spatial_dims](dropout), classifier
        )

    def features(self, x: Tensor) -> Tensor:
        """(B, C, H, W[, D]) -> (B, width, H, W[, D])."""
        for name, layer in self.named_children():
            if name in ("0", "1", "2"):  # TorchScript has no slices of modules
                x = layer(x)
        return x

    def classify(self, x: Tensor) -> Tensor:
        """(B, width, H, W[, D]) -> logits (B, K, H, W[, D])."""
        for name, layer in self.named_children():
            if name in ("3", "4"):
                x = layer(x)
        return x


# channels from a stage: few, so that it adds borders and does not outvote the pyramid
REDUCED = 48


class Refinement(nn.Module):
    """``ReLU(BN(conv3x3([resize(x); ReLU(BN(conv1x1(finer)))])))``, of the finer map's size.

    (B, C, h, w[, d]) -> (B, width, H, W[, D]). Not in the patent. Source: Chen et al., DeepLabv3+, ECCV 2018,
    arXiv:1802.02611, section 3.1, with one 3x3 convolution.

    Args:
        spatial_dims: 2 or 3.
        in_channels: C.
        stage: number of the finer stage, from 1.
        finer_channels: of the backbone's stage, (B, finer_channels, H, W[, D]).
        width: channels of the output.
    """

    def __init__(
        self, spatial_dims: int, in_channels: int, *, stage: int, finer_channels: int, width: int
    ) -> None:
        super().__init__()
        self.stage = stage
        self.reduce, self.reduce_norm = conv_norm(spatial_dims, finer_channels, out_channels=REDUCED)
        self.fuse, self.fuse_norm = conv_norm(
            spatial_dims, in_channels + REDUCED, out_channels=width, kernel_size=3
        )
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x: Tensor, stages: list[Tensor]) -> Tensor:
        """(B, C, h, w[, d]) and the maps of stage 1, 2, ... -> (B, width, H, W[, D]), its stage's size."""
        finer = stages[self.stage - 1]
        borders = self.relu(self.reduce_norm(self.reduce(finer)))
        return self.relu(self.fuse_norm(self.fuse(torch.cat([resize_like(x, finer), borders], dim=1))))
