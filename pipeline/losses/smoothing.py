"""Losses that soften labels or predictions without superpixels, for comparison; on logits and labels."""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F
from monai.losses import FocalLoss, NACLLoss
from torch import Tensor, nn

from pyraseg.pipeline.losses.dice_ce import checked_weights
from pyraseg.transforms.errors import ConfigError

__all__ = ["FocalTerm", "LabelSmoothing", "NeighbourAwareTerm", "SpatiallyVaryingLabelSmoothing"]


class LabelSmoothing(nn.Module):
    """torch's cross entropy with a share ``smoothing`` of each label spread over all classes.

    Source: Szegedy et al., Rethinking the Inception architecture, CVPR 2016, section 7.

    Args:
        smoothing: above 0 and below 1.

    Raises:
        ConfigError: ``smoothing`` out of range.

    Example:
        >>> round(LabelSmoothing(0.1)(torch.zeros(1, 2, 4, 4), torch.zeros(1, 1, 4, 4)).item(), 3)  # ln 2
        0.693
    """

    def __init__(self, smoothing: float = 0.1) -> None:
        super().__init__()
        if not 0 < smoothing < 1:
            remedy = "The usual is 0.1."
            raise ConfigError("a label smoothing above 0 and below 1", found=str(smoothing), remedy=remedy)
        self.smoothing = float(smoothing)

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """Logits (B, K, H, W[, D]) and targets (B, 1 or more, H, W[, D]), hard label first, to a scalar."""
        return F.cross_entropy(input, target[:, 0].long(), label_smoothing=self.smoothing)


class SpatiallyVaryingLabelSmoothing(nn.Module):
    """Cross entropy with labels that are half their pixel's, half a Gaussian mean of its neighbours'.

    The neighbourhood is 3 x 3 (x 3); labels are repeated beyond the border. Neither torch nor MONAI has this
    loss. Source: Islam and Glocker, Spatially varying label smoothing, IPMI 2021, arXiv 2104.05788.

    Args:
        sigma: of the Gaussian, in pixels, above 0.

    Raises:
        ConfigError: ``sigma`` out of range.

    Example:
        >>> label = torch.tensor([[[0, 0, 0, 1, 1, 1]]])
        >>> SpatiallyVaryingLabelSmoothing().soften(label, num_classes=2)[0, 1, 0, 0].item()
        0.0
    """

    def __init__(self, sigma: float = 1.0) -> None:
        super().__init__()
        if not 0 < sigma < math.inf:
            raise ConfigError("a sigma above 0", found=str(sigma), remedy="The paper's is 1.")
        self.sigma = float(sigma)

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """Logits (B, K, H, W[, D]) and targets (B, 1 or more, H, W[, D]), hard label first, to a scalar."""
        return F.cross_entropy(input, self.soften(target[:, 0], num_classes=input.shape[1]))

    def soften(self, label: Tensor, *, num_classes: int) -> Tensor:
        """Labels (B, H, W[, D]) to float32 (B, K, H, W[, D]), the sum over K is 1."""
        exact = F.one_hot(label.long(), num_classes).movedim(-1, 1).float()
        axes = label.dim() - 1
        padded = F.pad(exact.flatten(0, 1)[:, None], [1, 1] * axes, mode="replicate")
        convolve: Any = {2: F.conv2d, 3: F.conv3d}[axes]
        return convolve(padded, self._weights(axes).to(label.device)).reshape(exact.shape)

    def _weights(self, axes: int) -> Tensor:
        """(1, 1, 3, 3[, 3]): 1/2 in the centre, a Gaussian of the distance around it that sums to 1/2."""
        steps = torch.meshgrid(*[torch.tensor([-1.0, 0.0, 1.0])] * axes, indexing="ij")
        weights = torch.exp(-torch.stack(steps).square().sum(0) / (2 * self.sigma**2))
        centre = (1,) * axes
        weights[centre] = 0
        weights = weights / (2 * weights.sum())
        weights[centre] = 0.5
        return weights[None, None]


class NeighbourAwareTerm(nn.Module):
    """MONAI's ``NACLLoss``: cross entropy, and a penalty on logits far from the neighbourhood's labels.

    Source: Murugesan et al., Trust your neighbours, MICCAI 2023, arXiv 2303.06268.

    Args:
        num_classes: K.
        spatial_dims: 2 or 3.
        alpha: weight of the penalty, above 0.

    Raises:
        ConfigError: ``alpha`` out of range.

    Example:
        >>> bool(NeighbourAwareTerm(2)(torch.zeros(1, 2, 4, 4), torch.zeros(1, 1, 4, 4)) > 0)
        True
    """

    def __init__(self, num_classes: int, *, spatial_dims: int = 2, alpha: float = 0.1) -> None:
        super().__init__()
        (weight,) = checked_weights("the weight alpha of NACL's penalty", [alpha])
        self.loss = NACLLoss(classes=num_classes, dim=spatial_dims, alpha=weight)

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """Logits (B, K, H, W[, D]) and targets (B, 1 or more, H, W[, D]), hard label first, to a scalar."""
        return self.loss(input, target[:, 0].long())


class FocalTerm(nn.Module):
    """MONAI's ``FocalLoss`` on the softmax: cross entropy times ``(1 - p)**gamma``, p of the true class.

    Source: Lin et al., Focal loss for dense object detection, ICCV 2017.

    Args:
        gamma: 0 or more; 0 is plain cross entropy.

    Raises:
        ConfigError: ``gamma`` out of range.

    Example:
        >>> round(FocalTerm(2.0)(torch.zeros(1, 2, 4, 4), torch.zeros(1, 1, 4, 4)).item(), 3)  # ln 2 / 4
        0.173
    """

    def __init__(self, gamma: float = 2.0) -> None:
        super().__init__()
        if not 0 <= gamma < math.inf:
            raise ConfigError("a gamma of 0 or more", found=str(gamma), remedy="The paper's is 2.")
        self.loss = FocalLoss(to_onehot_y=True, use_softmax=True, gamma=gamma)

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """Logits (B, K, H, W[, D]) and targets (B, 1 or more, H, W[, D]), hard label first, to a scalar."""
        # MONAI's mean runs over the classes, too; one-hot targets have one term per pixel.
        return self.loss(input, target[:, :1]) * input.shape[1]
