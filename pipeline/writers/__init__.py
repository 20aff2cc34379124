"""Writers of results: each takes a path and data, and leaves a complete file or none."""

from __future__ import annotations

from pyraseg.pipeline.writers.dicom.rtstruct import write_rtstruct
from pyraseg.pipeline.writers.dicom.seg import write_seg
from pyraseg.pipeline.writers.dicom.sr import write_sr
from pyraseg.pipeline.writers.nifti import write_label, write_labels, write_probabilities
from pyraseg.pipeline.writers.pictures.overlay import write_overlay
from pyraseg.pipeline.writers.prediction import Algorithm, Prediction
