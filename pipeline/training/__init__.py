"""What the bundles' training configs are made of, beyond MONAI's own components."""

from __future__ import annotations

from pipeline.training.finite import FiniteLoss
from pipeline.training.loop import train
from pipeline.training.optimisation import FrozenBackbone, GradientClipping, WeightAverage, warmup_schedule
from pipeline.training.progress import Progress
from pipeline.training.setup import claim_folder, data_facts, place, seed_everything, shared_handler
from pipeline.training.stopping import EarlyStopping, Interruption
from pipeline.training.validation import FinalValidation

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
