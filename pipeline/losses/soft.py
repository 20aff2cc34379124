"""The soft label terms of a loss, and the batch that carries hard and soft labels."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
import torch.nn.functional as F
from monai.engines import default_prepare_batch
from torch import Tensor, nn

from pyraseg.pipeline.losses.dice_ce import checked_weights
from pyraseg.pipeline.losses.smoothing import (
    FocalTerm,
    LabelSmoothing,
    NeighbourAwareTerm,
    SpatiallyVaryingLabelSmoothing,
)
from pyraseg.transforms.errors import ConfigError

__all__ = ["SOFT_LOSSES", "SoftLabelDivergence", "SoftLabelLoss", "SoftTargets", "soft_label_loss"]

KNOWN = 0.5  # a pixel counts if its interpolated soft label sums to at least this


class SoftLabelLoss(nn.Module):
    """``hard(logits, label) + beta * soft(logits, targets)``, in float32.

    Args:
        hard: takes logits (B, K, H, W[, D]) and labels (B, 1, H, W[, D]).
        soft: takes logits and targets (B, 1, ...) or (B, 1 + K, ...), the hard label first; None for nothing.
        beta: weight of ``soft``, above 0.

    Raises:
        ConfigError: ``beta`` out of range.

    Example:
        >>> from monai.losses import DiceCELoss
        >>> loss = SoftLabelLoss(DiceCELoss(softmax=True, to_onehot_y=True), SoftLabelDivergence())
        >>> targets = torch.cat([torch.zeros(1, 1, 4, 4), torch.full((1, 2, 4, 4), 0.5)], dim=1)
        >>> loss(torch.zeros(1, 2, 4, 4), targets) == loss.hard(torch.zeros(1, 2, 4, 4), targets[:, :1])
        tensor(True)
    """

    def __init__(self, hard: nn.Module, soft: nn.Module | None, *, beta: float = 1.0) -> None:
        super().__init__()
        (self.beta,) = checked_weights("the weight beta of the soft labels", [beta])
        self.hard = hard
        self.soft = soft

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """Logits (B, K, H, W[, D]) and targets (B, 1 or 1 + K, H, W[, D]) to a float32 scalar."""
        with torch.autocast(input.device.type, enabled=False):
            logits = input.float().contiguous()  # one copy of a part of a stacked output, not one per term
            loss = self.hard(logits, target[:, :1])
            return loss if self.soft is None else loss + self.beta * self.soft(logits, target)


class SoftLabelDivergence(nn.Module):
    """``mean_i sum_k q_k log(q_k / p_k)``, the Kullback-Leibler divergence from the soft label.

    p is the softmax of the logits, q the soft label. The mean runs over the pixels i of the batch where q
    sums to at least 0.5; there q is divided by its sum, so interpolated and rounded labels count as
    distributions. With N such pixels, the gradient at each one's logits is ``(p - q) / N``.

    Example:
        >>> targets = torch.cat([torch.zeros(1, 1, 4, 4), torch.full((1, 2, 4, 4), 0.5)], dim=1)
        >>> abs(SoftLabelDivergence()(torch.zeros(1, 2, 4, 4), targets).item()) < 1e-6  # they agree
        True
    """

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """Logits (B, K, H, W[, D]), float32, and targets (B, 1 + K, H, W[, D]), to a scalar.

        The hard label comes first in the targets. Bytes hold 255 for 1.

        Raises:
            ConfigError: targets without one soft channel per class.
        """
        soft, known = _distribution(_soft_channels(input, target))
        # Cross entropy less the label's entropy. A pixel that does not count is 0 in all classes.
        cross_entropy = F.cross_entropy(input, soft, reduction="sum")
        return (cross_entropy - _entropy(soft)) / known.sum().clamp(min=1)


class SoftTargets:
    """MONAI's ``prepare_batch`` with soft labels: the targets are the hard label, then the soft one.

    A batch without ``soft_label``, (B, K, H, W[, D]), gives the hard labels alone.

    Example:
        >>> batch = {"image": torch.zeros(1, 1, 4, 4), "label": torch.zeros(1, 1, 4, 4)}
        >>> batch["soft_label"] = torch.full((1, 2, 4, 4), 0.5)
        >>> [tuple(part.shape) for part in SoftTargets()(batch)]
        [(1, 1, 4, 4), (1, 3, 4, 4)]
    """

    def __call__(
        self,
        batchdata: Mapping[str, Any],
        device: str | torch.device | None = None,
        non_blocking: bool = False,
        **kwargs: Any,
    ) -> tuple[Tensor, Tensor]:
        """The images, and targets (B, 1 + K, H, W[, D]) of the soft labels' type."""
        images, labels = default_prepare_batch(batchdata, device, non_blocking, **kwargs)
        if "soft_label" not in batchdata:
            return images, labels
        soft = batchdata["soft_label"].to(device=device, non_blocking=non_blocking, **kwargs)
        return images, torch.cat([labels.to(soft.dtype), soft], dim=1)


def _soft_channels(input: Tensor, target: Tensor) -> Tensor:
    if target.shape[1] == 1 + input.shape[1]:
        return target[:, 1:]
    raise ConfigError(
        f"targets with a hard label and {input.shape[1]} soft ones",
        found=f"{target.shape[1]} channels",
        remedy="Add SoftLabelsd to the preprocessing and SoftTargets to the trainer, as "
        "configs/soft_labels.yaml does.",
    )


def _entropy(soft: Tensor) -> Tensor:
    """``-sum q log q``; ``torch.xlogy`` takes five times as long."""
    return -soft.clamp(min=torch.finfo(soft.dtype).tiny).log_().mul_(soft).sum()


def _distribution(soft: Tensor) -> tuple[Tensor, Tensor]:
    """The soft label divided by its sum over the classes, 0 where the sum is too small; and the mask."""
    whole = 1.0 if soft.is_floating_point() else 255.0
    values = soft.to(torch.float32, copy=True, memory_format=torch.contiguous_format)
    total = values.sum(dim=1, keepdim=True)
    known = total >= KNOWN * whole
    return values.mul_(torch.where(known, 1 / total, 0.0)), known


SOFT_LOSSES = ("superpixel", "label_smoothing", "svls", "nacl", "focal", "none")


def soft_label_loss(
    name: str,
    *,
    hard: nn.Module,
    num_classes: int,
    spatial_dims: int = 2,
    beta: float = 1.0,
    smoothing: float = 0.1,
    sigma: float = 1.0,
    alpha: float = 0.1,
    gamma: float = 2.0,
) -> SoftLabelLoss:
    """``hard + beta * term``, for targets whose first channel is the hard label.

    Args:
        name: superpixel (divergence from the targets' soft label), label_smoothing, svls, nacl, focal, none.
        hard: the loss on hard labels.
        num_classes, spatial_dims: of the network.
        beta: weight of the term.
        smoothing, sigma, alpha, gamma: of label smoothing, SVLS, NACL and focal loss.

    Raises:
        ConfigError: an unknown name, or a number out of range.

    Example:
        >>> loss = soft_label_loss("focal", hard=torch.nn.Identity(), num_classes=2)
        >>> type(loss.soft).__name__
        'FocalTerm'
    """
    terms: dict[str, Callable[[], nn.Module | None]] = {
        "superpixel": SoftLabelDivergence,
        "label_smoothing": lambda: LabelSmoothing(smoothing),
        "svls": lambda: SpatiallyVaryingLabelSmoothing(sigma),
        "nacl": lambda: NeighbourAwareTerm(num_classes, spatial_dims=spatial_dims, alpha=alpha),
        "focal": lambda: FocalTerm(gamma),
        "none": lambda: None,
    }
    if name not in terms:
        raise ConfigError(
            f"a soft loss among {', '.join(SOFT_LOSSES)}", found=repr(name), remedy="Correct it."
        )
    return SoftLabelLoss(hard, terms[name](), beta=beta)
