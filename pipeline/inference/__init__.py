"""From images to label maps on the source grid: checkpoints, the inferer, clean-up, files."""

from __future__ import annotations

from pyraseg.pipeline.inference.clean_up import CleanUpLabels, CleanUpLabelsd
from pyraseg.pipeline.inference.decision import Decision, OperatingPoint, decide
from pyraseg.pipeline.inference.ensemble import Ensemble
from pyraseg.pipeline.inference.folder import SavePredictions, infer
from pyraseg.pipeline.inference.inferer import SegmentationInferer
from pyraseg.pipeline.inference.sliding import Slab
from pyraseg.pipeline.inference.source_grid import SourceGridLabelsd
from pyraseg.pipeline.inference.trained import (
    checkpoint_paths,
    load_checkpoints,
    require_as_trained,
    trained_facts,
    trained_network,
)
