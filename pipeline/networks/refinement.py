"""The pyramid's coarse features joined with a finer stage of the backbone, for borders and small
structures."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from pyraseg.pipeline.networks.blocks import conv_norm
from pyraseg.pipeline.networks.pyramid import resize_like

__all__ = ["Refinement"]

REDUCED = (
    48  # channels that a stage contributes, few, so that it adds borders and does not outvote the pyramid
)


class Refinement(nn.Module):
    """``ReLU(BN(conv3x3([resize(x); ReLU(BN(conv1x1(finer)))])))``: (B, C, h, w[, d]) -> (B, width, H, W[,
    D]).

    Not in the patent. Source: Chen et al., DeepLabv3+, ECCV 2018, arXiv:1802.02611, section 3.1, with one 3x3
    convolution.

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
        """(B, C, h, w[, d]) and the maps of stage 1, 2, ... -> (B, width, H, W[, D]), the size of its own
        stage."""
        finer = stages[self.stage - 1]
        borders = self.relu(self.reduce_norm(self.reduce(finer)))
        return self.relu(self.fuse_norm(self.fuse(torch.cat([resize_like(x, finer), borders], dim=1))))
