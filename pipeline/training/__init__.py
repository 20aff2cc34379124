"""What the bundles' training configs are made of, beyond MONAI's own components."""

from __future__ import annotations

from pyraseg.pipeline.training.final_validation import FinalValidation
from pyraseg.pipeline.training.finite_loss import FiniteLoss
from pyraseg.pipeline.training.loop import train
from pyraseg.pipeline.training.optimisation import (
    FrozenBackbone,
    GradientClipping,
    WeightAverage,
    warmup_schedule,
)
from pyraseg.pipeline.training.progress import Progress
from pyraseg.pipeline.training.setup import claim_folder, data_facts, place, seed_everything, shared_handler
from pyraseg.pipeline.training.stopping import EarlyStopping, Interruption

__all__ = [
    "EarlyStopping",
    "FinalValidation",
    "FiniteLoss",
    "FrozenBackbone",
    "GradientClipping",
    "Interruption",
    "Progress",
    "WeightAverage",
    "claim_folder",
    "data_facts",
    "place",
    "seed_everything",
    "shared_handler",
    "train",
    "warmup_schedule",
]
