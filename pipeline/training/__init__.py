"""What the bundles' training configs are made of, beyond MONAI's own components."""

from __future__ import annotations

from pyraseg.pipeline.training.caching import CachedDataset
from pyraseg.pipeline.training.checkpoints import Checkpoints, stored_run_id
from pyraseg.pipeline.training.loop import train
from pyraseg.pipeline.training.optimisation import (
    FiniteLoss,
    FrozenBackbone,
    GradientClipping,
    ScheduleStep,
    WarmupSchedule,
    WeightAverage,
)
from pyraseg.pipeline.training.progress import Progress
from pyraseg.pipeline.training.sampling import GroupSampler
from pyraseg.pipeline.training.setup import (
    check_contrast,
    check_output_dir,
    data_facts,
    require_same_images,
    seed_everything,
    shared_handler,
    to_device,
)
from pyraseg.pipeline.training.stopping import EarlyStopping, FinalValidation, Interruption
