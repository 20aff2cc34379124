"""Where the frames of a volume's segmentation lie in the patient."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from pydicom import Dataset
from pydicom.valuerep import format_number_as_ds

from pyraseg.pipeline.writers.dicom.source import SourceHeader, add_uid, derive_uid
from pyraseg.transforms.dicom.series.source_series import SourceSeries
from pyraseg.transforms.geometry.grid import VolumeGrid

__all__ = ["NO_FRAME", "add_grid", "frame_of_reference", "plane_position"]

NO_FRAME = "no Frame of Reference in the source: results name one that follows from the series"


def frame_of_reference(header: SourceHeader, series: SourceSeries) -> str:
    """The series' Frame of Reference UID; where it has none one that follows from its Series Instance UID."""
    return series.frame_of_reference_uid or derive_uid(header.identity.SeriesInstanceUID, "frame")


def add_grid(dataset: Dataset, header: SourceHeader, series: SourceSeries) -> None:
    """Frame of Reference, and among the shared functional groups Plane Orientation and Pixel Measures (PS3.3
    C.7.4.1, C.7.6.16.2.4, C.7.6.16.2.1)."""
    grid, orientation, measures = series.grid, Dataset(), Dataset()
    add_uid(dataset, "FrameOfReferenceUID", frame_of_reference(header, series))
    dataset.PositionReferenceIndicator = None
    orientation.ImageOrientationPatient = _decimals([*grid.row_direction, *grid.column_direction])
    measures.PixelSpacing = _decimals([grid.spacing[1], grid.spacing[0]])
    measures.SliceThickness, measures.SpacingBetweenSlices = _decimals([grid.spacing[2]] * 2)
    shared = dataset.SharedFunctionalGroupsSequence[0]
    shared.PlaneOrientationSequence = [orientation]
    shared.PixelMeasuresSequence = [measures]


def plane_position(grid: VolumeGrid, index: int) -> Dataset:
    """Plane Position (PS3.3 C.7.6.16.2.3) of a slice."""
    item = Dataset()
    step = np.multiply(grid.slice_direction, grid.spacing[2])
    item.ImagePositionPatient = _decimals(np.asarray(grid.origin) + index * step)
    return item


def _decimals(values: Iterable[float]) -> list[str]:
    """As many digits as DS holds."""
    return [format_number_as_ds(float(value) + 0.0) for value in values]
