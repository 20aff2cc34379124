"""Reading DICOM without MONAI: files, frames of cines, series as volumes, and the labels drawn on them."""

from pyraseg.transforms.dicom.calibration import Calibration, calibrate
from pyraseg.transforms.dicom.files.discover import discover, frame_paths, source_ref
from pyraseg.transforms.dicom.files.frame_path import frame_path, split_frame_path
from pyraseg.transforms.dicom.labels.contours import fill_contours, trace_mask
from pyraseg.transforms.dicom.labels.drawn_labels import DrawnLabels, read_drawn_labels
from pyraseg.transforms.dicom.pixels.decode import CineReader
from pyraseg.transforms.dicom.series.find import Series, find_series, the_series
from pyraseg.transforms.dicom.series.source_series import SourceSeries
from pyraseg.transforms.dicom.series.volume import Volume, read_series, read_source_series

__all__ = [
    "Calibration",
    "CineReader",
    "DrawnLabels",
    "Series",
    "SourceSeries",
    "Volume",
    "calibrate",
    "discover",
    "fill_contours",
    "find_series",
    "frame_path",
    "frame_paths",
    "read_drawn_labels",
    "read_series",
    "read_source_series",
    "source_ref",
    "split_frame_path",
    "the_series",
    "trace_mask",
]
