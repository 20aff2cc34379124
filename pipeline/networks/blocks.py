"""The residual blocks of ResNet, in 2D and 3D, with torchvision's parameter names."""

from __future__ import annotations

from monai.networks.layers.factories import Conv, Norm
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

__all__ = ["BasicBlock", "Bottleneck", "conv_norm"]


def conv_norm(
    spatial_dims: int,
    in_channels: int,
    *,
    out_channels: int,
    kernel_size: int = 1,
    stride: int = 1,
    dilation: int = 1,
) -> tuple[nn.Module, _BatchNorm]:
    """A convolution without bias that keeps the size (at stride 1), and its batch norm."""
    conv = Conv["conv", spatial_dims](
        in_channels,
        out_channels,
        kernel_size=kernel_size,
        stride=stride,
        padding=dilation * (kernel_size // 2),
        dilation=dilation,
        bias=False,
    )
    return conv, Norm["batch", spatial_dims](out_channels)


class BasicBlock(nn.Module):
    """Two 3x3 convolutions and a shortcut: (B, C, H, W[, D]) -> (B, width, ...).

    Source: He et al., CVPR 2016, figure 5 left.

    Args:
        spatial_dims: 2 or 3.
        in_channels: C.
        width: channels of both convolutions, and of the output.
        stride: of the first convolution.
        dilation: of the first convolution, the one that a stage strides by.
        inner_dilation: of the second convolution.
        downsample: the shortcut's 1x1 convolution and norm, None for the identity.
    """

    expansion = 1

    def __init__(
        self,
        spatial_dims: int,
        in_channels: int,
        *,
        width: int,
        stride: int = 1,
        dilation: int = 1,
        inner_dilation: int = 1,
        downsample: nn.Module | None = None,
    ) -> None:
        super().__init__()
        self.conv1, self.bn1 = conv_norm(
            spatial_dims, in_channels, out_channels=width, kernel_size=3, stride=stride, dilation=dilation
        )
        self.conv2, self.bn2 = conv_norm(
            spatial_dims, width, out_channels=width, kernel_size=3, dilation=inner_dilation
        )
        self.relu = nn.ReLU(inplace=True)
        self.downsample = downsample

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W[, D]) -> (B, width, H/stride, W/stride[, D/stride])."""
        identity = x if self.downsample is None else self.downsample(x)
        out = self.relu(self.bn1(self.conv1(x)))
        return self.relu(self.bn2(self.conv2(out)) + identity)


class Bottleneck(nn.Module):
    """1x1, 3x3 and 1x1 convolutions and a shortcut, stride and dilation in the 3x3 (ResNet v1.5).

    The output has 4 * width channels. The arguments are those of ``BasicBlock``, ``inner_dilation`` unused.
    """

    expansion = 4

    def __init__(
        self,
        spatial_dims: int,
        in_channels: int,
        *,
        width: int,
        stride: int = 1,
        dilation: int = 1,
        inner_dilation: int = 1,
        downsample: nn.Module | None = None,
    ) -> None:
        super().__init__()
        self.conv1, self.bn1 = conv_norm(spatial_dims, in_channels, out_channels=width)
        self.conv2, self.bn2 = conv_norm(
            spatial_dims, width, out_channels=width, kernel_size=3, stride=stride, dilation=dilation
        )
        self.conv3, self.bn3 = conv_norm(spatial_dims, width, out_channels=width * self.expansion)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = downsample

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W[, D]) -> (B, 4 * width, H/stride, W/stride[, D/stride])."""
        identity = x if self.downsample is None else self.downsample(x)
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.relu(self.bn2(self.conv2(out)))
        return self.relu(self.bn3(self.conv3(out)) + identity)
