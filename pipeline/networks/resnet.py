"""ResNet as a feature extractor: 18 to 152 layers, three stems, output stride 8, 16 or 32, 2D and 3D."""

from __future__ import annotations

from monai.networks.layers.factories import Pool
from torch import Tensor, nn

from pyraseg.pipeline.networks.blocks import BasicBlock, Bottleneck, conv_norm
from pyraseg.pipeline.networks.checked_arguments import choice, positive_integer

__all__ = ["DEPTHS", "OUTPUT_STRIDES", "STEMS", "ResNet"]

# Blocks per stage: He et al., Deep Residual Learning, CVPR 2016, table 1.
DEPTHS: dict[int, tuple[type[BasicBlock] | type[Bottleneck], tuple[int, int, int, int]]] = {
    18: (BasicBlock, (2, 2, 2, 2)),
    34: (BasicBlock, (3, 4, 6, 3)),
    50: (Bottleneck, (3, 4, 6, 3)),
    101: (Bottleneck, (3, 4, 23, 3)),
    152: (Bottleneck, (3, 8, 36, 3)),
}
STEMS: dict[str, tuple[int, ...]] = {"deep3": (64, 64, 128), "deep2": (64, 128), "plain7": (64,)}
OUTPUT_STRIDES = (8, 16, 32)
STAGE_WIDTHS = (64, 128, 256, 512)
STEM_STRIDE = 4  # convolution and pool


class ResNet(nn.Module):
    """The convolutional part of ResNet (v1.5) under torchvision's names, so that its weights load.

    Stems: "plain7" is torchvision's 7x7 convolution (``conv1``, ``bn1``). "deep3" has 3x3 convolutions to 64,
    64 and 128 channels (``conv1.0`` to ``conv1.6``, ``bn1``: the v1s layout of PyTorch-Encoding and timm),
    "deep2" to 64 and 128.

    Where the output stride is below 32, late stages keep their size: their strided convolution gets stride 1
    and the dilation that it had before, all later ones of the stage twice that (layer4 at output stride 16:
    1, 2, 2). With the same weights the dilated network computes the strided one's values on a denser grid.

    Attributes:
        out_channels: of layer4; ``stage_channels``: of layer1 to layer4; ``stem_channels``: behind the pool.
        output_stride: input size over output size, rounded up.

    Raises:
        ConfigError: an argument outside what is listed here.
    """

    def __init__(
        self,
        spatial_dims: int = 2,
        in_channels: int = 3,
        *,
        depth: int = 50,
        output_stride: int = 16,
        stem: str = "deep3",
    ) -> None:
        super().__init__()
        self.frozen = False
        choice("spatial_dims", spatial_dims, (2, 3))
        choice("depth", depth, DEPTHS)
        choice("output_stride", output_stride, OUTPUT_STRIDES)
        choice("stem", stem, STEMS)
        positive_integer("in_channels", in_channels)
        self.conv1, self.bn1 = _stem(spatial_dims, in_channels, widths=STEMS[stem])
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = Pool["max", spatial_dims](kernel_size=3, stride=2, padding=1)
        self.stem_channels = STEMS[stem][-1]
        block, counts = DEPTHS[depth]
        self.stage_channels = tuple(width * block.expansion for width in STAGE_WIDTHS)
        self.out_channels = self.stage_channels[-1]
        self.output_stride = output_stride
        inputs = (self.stem_channels, *self.stage_channels)
        self.layer1, self.layer2, self.layer3, self.layer4 = (
            _stage(
                block,
                spatial_dims,
                in_channels=channels,
                width=width,
                count=count,
                **_sampling(i, output_stride),
            )
            for i, (channels, width, count) in enumerate(zip(inputs, STAGE_WIDTHS, counts, strict=False))
        )

    def freeze(self) -> None:
        """Freeze every parameter and statistic, in training too."""
        self.frozen = True
        self.requires_grad_(False)
        self.eval()

    def unfreeze(self) -> None:
        """Undo ``freeze``, from the network's next ``train()`` on."""
        self.frozen = False
        self.requires_grad_(True)

    def train(self, mode: bool = True) -> ResNet:
        """Set the mode, but keep a frozen network in evaluation, or its batch norms would still change."""
        return super().train(mode and not self.frozen)

    def stem(self, x: Tensor) -> Tensor:
        """(B, in_channels, H, W[, D]) -> (B, stem_channels, H/4, W/4[, D/4]), sizes rounded up."""
        return self.maxpool(self.relu(self.bn1(self.conv1(x))))

    def forward(self, x: Tensor) -> Tensor:
        """(B, in_channels, H, W[, D]) -> (B, out_channels, H/s, W/s[, D/s]), s the output stride."""
        return self.layer4(self.layer3(self.layer2(self.layer1(self.stem(x)))))


def _stem(spatial_dims: int, in_channels: int, *, widths: tuple[int, ...]) -> tuple[nn.Module, nn.Module]:
    """The stem's convolutions and its last batch norm; a single width means the 7x7 convolution."""
    if len(widths) == 1:
        return conv_norm(spatial_dims, in_channels, out_channels=widths[0], kernel_size=7, stride=2)
    layers: list[nn.Module] = []
    channels = in_channels
    for index, width in enumerate(widths):
        stride = 2 if index == 0 else 1
        layers += conv_norm(spatial_dims, channels, out_channels=width, kernel_size=3, stride=stride)
        layers.append(nn.ReLU(inplace=True))
        channels = width
    return nn.Sequential(*layers[:-2]), layers[-2]


def _sampling(stage: int, output_stride: int) -> dict[str, int]:
    """Stride and dilations of a stage (0 is layer1): past the output stride the stride becomes dilation."""
    if stage == 0:
        return {"stride": 1, "first_dilation": 1, "dilation": 1}
    before, after = (max(1, STEM_STRIDE * 2**i // output_stride) for i in (stage - 1, stage))
    return {"stride": 2 if after == 1 else 1, "first_dilation": before, "dilation": after}


def _stage(
    block: type[BasicBlock] | type[Bottleneck],
    spatial_dims: int,
    *,
    in_channels: int,
    width: int,
    count: int,
    stride: int,
    first_dilation: int,
    dilation: int,
) -> nn.Sequential:
    channels = width * block.expansion
    downsample = None
    if stride != 1 or in_channels != channels:
        downsample = nn.Sequential(
            *conv_norm(spatial_dims, in_channels, out_channels=channels, stride=stride)
        )
    blocks: list[nn.Module] = [
        block(
            spatial_dims,
            in_channels,
            width=width,
            stride=stride,
            dilation=first_dilation,
            inner_dilation=dilation,
            downsample=downsample,
        )
    ]
    blocks += [
        block(spatial_dims, channels, width=width, dilation=dilation, inner_dilation=dilation)
        for _ in range(1, count)
    ]
    return nn.Sequential(*blocks)
