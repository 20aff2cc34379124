"""Losses on logits: Dice and cross entropy on hard labels, and the terms of soft labels."""

from pyraseg.pipeline.losses.dice_ce import AuxiliaryLoss, Float32DiceCELoss
from pyraseg.pipeline.losses.smoothing import (
    FocalTerm,
    LabelSmoothing,
    NeighbourAwareTerm,
    SpatiallyVaryingLabelSmoothing,
)
from pyraseg.pipeline.losses.soft import (
    SOFT_LOSSES,
    SoftLabelDivergence,
    SoftLabelLoss,
    SoftTargets,
    soft_label_loss,
)
