"""Reading DICOM without MONAI: files, frames of cines, series as volumes, and the labels drawn on them."""

from pyraseg.transforms.dicom.calibration import calibrate
from pyraseg.transforms.dicom.files.discover import discover, source_ref
from pyraseg.transforms.dicom.labels.contours import fill_contours, trace_mask
from pyraseg.transforms.dicom.labels.drawn_labels import read_drawn_labels
from pyraseg.transforms.dicom.pixels.decode import CineReader
from pyraseg.transforms.dicom.series.find import find_series, the_series
from pyraseg.transforms.dicom.series.volume import Volume, read_series, read_source_series
from pyraseg.transforms.io.paths import frame_path, frame_paths, split_frame_path

__all__ = [
    "CineReader",
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
