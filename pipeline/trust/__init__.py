"""What a checkpoint knows of its own reliability: the operating point of each class, found on validation."""

from __future__ import annotations

from pyraseg.pipeline.trust.calibration import Calibration
from pyraseg.pipeline.trust.evaluated import OperatingCurves
from pyraseg.pipeline.trust.operating_point import OperatingPoints
