"""Clinical quantities of label maps: areas and lengths in frames, volumes, axes, HU and SUV in volumes."""

from __future__ import annotations

from pyraseg.pipeline.measurement.declared import Measure
from pyraseg.pipeline.measurement.frame import FRAME_MEASURES, measure_frame
from pyraseg.pipeline.measurement.lengths import feret_diameter, inscribed_diameter, wall_thickness
from pyraseg.pipeline.measurement.volume import VOLUME_MEASURES, measure_volume
