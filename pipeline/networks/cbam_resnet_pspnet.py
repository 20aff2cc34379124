"""CBAM-ResNet-PSPNet: attention before and after the residual stages, then pyramid pooling (CN113409326A)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from pyraseg.pipeline.networks.attention import attention_block
from pyraseg.pipeline.networks.checked_arguments import positive_integer
from pyraseg.pipeline.networks.initialisation import initialise
from pyraseg.pipeline.networks.pyramid import PyramidPooling, Refinement, SegmentationHead, resize_like
from pyraseg.pipeline.networks.resnet import ResNet
from pyraseg.transforms.errors import ConfigError

__all__ = ["CBAMResNetPSPNet"]

HEAD_DIVISOR = 4  # both heads work on a quarter of their stage's channels: 512 and 256 for ResNet-50


class CBAMResNetPSPNet(nn.Module):
    """``head(pyramid(CBAM_end(stages(CBAM_start(stem(x))))))``: logits of K exclusive classes.

    (B, in_channels, H, W[, D]) -> (B, K, H, W[, D]), of any size. Source: CN113409326A [0085]-[0142]; pyramid
    and auxiliary head: Zhao et al., PSPNet, CVPR 2017.

    With ``aux`` the *training* mode returns the main and the auxiliary logits stacked, (B, 2, K, H, W[, D]),
    main first, as MONAI's DynUNet does for deep supervision: TorchScript takes a tensor in both modes, but
    not a tuple in one. ``pyraseg.pipeline.losses.AuxiliaryLoss`` splits it. The evaluation mode returns the
    main logits alone.

    Args:
        spatial_dims: 2 or 3.
        in_channels: channels of the input.
        out_channels: number of classes K, background included.
        depth: 18, 34, 50, 101 or 152.
        attention: "cbam", "se", "cam", "sam" or "none", for both blocks.
        order: "channel_first" or "spatial_first", for "cbam".
        reduction: channel reduction of the attention's MLP.
        output_stride: input size over feature size at the pyramid, 8, 16 or 32.
        bins: cells per axis of the pyramid's levels.
        stem: "deep3", "deep2" or "plain7" (see ``ResNet``).
        aux: add the auxiliary head on layer3.
        skips: stages of the backbone, 1 to 3, whose finer maps refine the head's features, coarse to fine:
            (1,), or (2, 1) for an output stride of 16; () is the patent's network. The logits then have
            layer1's stride, 4.
        dropout: of whole channels in the heads, in [0, 1).

    Attributes:
        out_channels, output_stride: as given.
        encoder_end: the name of the module whose output are the deepest features.
        options: all arguments by name, plain values; a checkpoint keeps them to build the network again.

    Raises:
        ConfigError: an argument that is not listed here; the message names the nearest one.

    Example:
        >>> network = CBAMResNetPSPNet(2, 1, out_channels=3, depth=18, skips=(2, 1)).eval()
        >>> network(torch.zeros(1, 1, 64, 80)).shape
        torch.Size([1, 3, 64, 80])
    """

    encoder_end = "attention_end"

    def __init__(
        self,
        spatial_dims: int = 2,
        in_channels: int = 3,
        *,
        out_channels: int = 3,
        depth: int = 50,
        attention: str = "cbam",
        order: str = "channel_first",
        reduction: int = 16,
        output_stride: int = 16,
        bins: Sequence[int] = (1, 2, 3, 6),
        stem: str = "deep3",
        aux: bool = False,
        dropout: float = 0.1,
        skips: Sequence[int] = (),
    ) -> None:
        super().__init__()
        self.options = {
            "name": "cbam_resnet_pspnet",
            "spatial_dims": spatial_dims,
            "in_channels": in_channels,
            "out_channels": out_channels,
            "depth": depth,
            "attention": attention,
            "order": order,
            "reduction": reduction,
            "output_stride": output_stride,
            "bins": list(bins),
            "stem": stem,
            "aux": aux,
            "dropout": dropout,
            "skips": list(skips),
        }
        positive_integer("out_channels", out_channels)
        self.out_channels = out_channels
        self.output_stride = output_stride
        self.backbone = ResNet(spatial_dims, in_channels, depth=depth, output_stride=output_stride, stem=stem)
        self.attention_start, self.attention_end = (
            attention_block(attention, spatial_dims, channels=channels, reduction=reduction, order=order)
            for channels in (self.backbone.stem_channels, self.backbone.out_channels)
        )
        self.pyramid = PyramidPooling(spatial_dims, self.backbone.out_channels, bins=bins)
        tap, last = self.backbone.stage_channels[2:]
        self.head = SegmentationHead(
            spatial_dims,
            self.pyramid.out_channels,
            width=last // HEAD_DIVISOR,
            out_channels=out_channels,
            dropout=dropout,
        )
        self.refinements = nn.ModuleList(
            Refinement(
                spatial_dims,
                last // HEAD_DIVISOR,
                stage=stage,
                finer_channels=self.backbone.stage_channels[stage - 1],
                width=last // HEAD_DIVISOR,
            )
            for stage in _descending(skips)
        )
        self.auxiliary = None
        if aux:
            self.auxiliary = SegmentationHead(
                spatial_dims, tap, width=tap // HEAD_DIVISOR, out_channels=out_channels, dropout=dropout
            )
        initialise(self)

    def forward(self, x: Tensor) -> Tensor:
        """(B, in_channels, H, W[, D]) -> (B, K, H, W[, D]), in training with ``aux`` (B, 2, K, H, W[, D])."""
        stages = [self.backbone.layer1(self.attention_start(self.backbone.stem(x)))]
        stages.append(self.backbone.layer2(stages[0]))
        stages.append(self.backbone.layer3(stages[1]))
        features = self.pyramid(self.attention_end(self.backbone.layer4(stages[2])))
        logits = resize_like(self._classify(features, stages), x)
        if self.auxiliary is not None and self.training:
            return torch.stack([logits, resize_like(self.auxiliary(stages[2]), x)], dim=1)
        return logits

    def _classify(self, features: Tensor, stages: list[Tensor]) -> Tensor:
        """The head, with the refinements between its two halves."""
        if len(self.refinements) == 0:
            return self.head(features)
        features = self.head.features(features)
        for refinement in self.refinements:
            features = refinement(features, stages)
        return self.head.classify(features)


def _descending(skips: Sequence[int]) -> list[int]:
    stages = list(skips)
    if stages == sorted(set(stages), reverse=True) and set(stages) <= {1, 2, 3}:
        return stages
    raise ConfigError(
        "skips from the stages 3, 2, 1, coarse to fine", found=str(stages), remedy="Use [1], [2, 1] or []."
    )
