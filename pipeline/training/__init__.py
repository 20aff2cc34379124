"""What the bundles' training configs are made of, beyond MONAI's own components."""

from __future__ import annotations

from pyraseg.pipeline.training.caching import CachedDataset
from pyraseg.pipeline.training.checkpoints import Checkpoints, stored_run_id
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
from pyraseg.pipeline.training.sampling import GroupSampler
from pyraseg.pipeline.training.setup import (
    data_facts,
    place,
    prepare_output_dir,
    seed_everything,
    shared_handler,
)
from pyraseg.pipeline.training.stopping import EarlyStopping, Interruption

__all__ = [
    "CachedDataset",
    "Checkpoints",
    "EarlyStopping",
    "FinalValidation",
    "FiniteLoss",
    "FrozenBackbone",
    "GradientClipping",
    "GroupSampler",
    "Interruption",
    "Progress",
    "WeightAverage",
    "data_facts",
    "place",
    "prepare_output_dir",
    "seed_everything",
    "shared_handler",
    "stored_run_id",
    "train",
    "warmup_schedule",
]
