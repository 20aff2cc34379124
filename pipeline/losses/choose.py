"""The loss by its name: what is added to the loss on hard labels."""

from __future__ import annotations

from collections.abc import Callable

from torch import nn

from pyraseg.pipeline.losses.smoothing import (
    FocalTerm,
    LabelSmoothing,
    NeighbourAwareTerm,
    SpatiallyVaryingLabelSmoothing,
)
from pyraseg.pipeline.losses.soft import SoftLabelDivergence, SoftLabelLoss
from pyraseg.transforms.errors import ConfigError

__all__ = ["SOFT_LOSSES", "soft_label_loss"]

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
        name: superpixel (divergence from the soft label in the targets), label_smoothing, svls, nacl, focal,
            or none.
        hard: the loss on hard labels.
        num_classes, spatial_dims: of the network.
        beta: weight of the term.
        smoothing, sigma, alpha, gamma: of label smoothing, SVLS, NACL and focal loss; the others leave them
            alone.

    Raises:
        ConfigError: another name, or a number out of range.
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
