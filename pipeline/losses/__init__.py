"""Losses on logits: Dice and cross entropy on hard labels, and what soft labels or their kin add to it."""

from pyraseg.pipeline.losses.auxiliary import AuxiliaryLoss
from pyraseg.pipeline.losses.choose import SOFT_LOSSES, soft_label_loss
from pyraseg.pipeline.losses.dice_ce import Float32DiceCELoss
from pyraseg.pipeline.losses.smoothing import (
    FocalTerm,
    LabelSmoothing,
    NeighbourAwareTerm,
    SpatiallyVaryingLabelSmoothing,
)
from pyraseg.pipeline.losses.soft import SoftLabelDivergence, SoftLabelLoss, SoftTargets

__all__ = [
    "SOFT_LOSSES",
    "AuxiliaryLoss",
    "Float32DiceCELoss",
    "FocalTerm",
    "LabelSmoothing",
    "NeighbourAwareTerm",
    "SoftLabelDivergence",
    "SoftLabelLoss",
    "SoftTargets",
    "SpatiallyVaryingLabelSmoothing",
    "soft_label_loss",
]
