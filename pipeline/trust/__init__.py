"""What a checkpoint knows of its reliability, found on validation: operating points, warnings, intervals."""

from __future__ import annotations

from pyraseg.pipeline.trust.calibration import Calibration
from pyraseg.pipeline.trust.calibrators import ExpectedDice, Intervals, TrainingFeatures
from pyraseg.pipeline.trust.evaluated import OperatingCurves
from pyraseg.pipeline.trust.judge import JudgeItems
from pyraseg.pipeline.trust.operating_point import OperatingPoints
from pyraseg.pipeline.trust.unlike import spread
