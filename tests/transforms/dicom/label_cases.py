"""Series and structure sets for the tests of labels: an oblique grid, and files written straight with
pydicom."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, RTStructureSetStorage

from pyraseg.transforms.dicom.series.source_series import SourceSeries
from pyraseg.transforms.geometry.grid import VolumeGrid
from pyraseg.transforms.records import SourceRef

SERIES, FRAME_OF_REFERENCE, STUDY = "1.2.826.0.1.7", "1.2.826.0.1.8", "1.2.826.0.1.9"
SHAPE = (17, 13, 6)


def oblique_grid(shape: tuple[int, int, int] = SHAPE) -> VolumeGrid:
    """A grid that is turned about all axes, with spacings that all differ."""
    turned, _ = np.linalg.qr(np.random.default_rng(5).normal(size=(3, 3)))
    row, column = turned[0], turned[1]
    directions = [tuple(map(float, axis)) for axis in (row, column, np.cross(row, column))]
    return VolumeGrid(shape, (-123.4, 56.7, -890.1), *directions, (0.7, 1.1, 2.9))


def source_series(grid: VolumeGrid, *, series: str = SERIES, frame_of_reference: str = FRAME_OF_REFERENCE):
    """A series without files."""
    columns, rows, count = grid.shape
    slices = tuple(
        SourceRef(f"{index}.dcm", f"{series}.{index + 1}", "", series, "CT", "", 1, rows, columns, STUDY)
        for index in range(count)
    )
    return SourceSeries(grid, frame_of_reference, slices)


def contour(
    grid: VolumeGrid, points: Any, *, at: float, kind: str = "CLOSED_PLANAR", image: str = ""
) -> Dataset:
    """A contour by index coordinates (x, y) on slice ``at``."""
    points = np.asarray(points, float).reshape(-1, 2)
    index = np.column_stack([points, np.full(len(points), float(at)), np.ones(len(points))])
    item = Dataset()
    item.ContourGeometricType = kind
    item.NumberOfContourPoints = len(points)
    item.ContourData = [f"{value:.4f}" for value in (index @ grid.affine_lps.T)[:, :3].reshape(-1)]
    if image:
        item.ContourImageSequence = [reference(image)]
    return item


def reference(uid: str) -> Dataset:
    item = Dataset()
    item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = "1.2.840.10008.5.1.4.1.1.2", uid
    return item


def write_structures(
    path: Path,
    rois: dict[int, tuple[str, list[Dataset] | None]],
    *,
    series: str | None = SERIES,
    frame_of_reference: str = FRAME_OF_REFERENCE,
    instances: tuple[str, ...] = (),
) -> Path:
    """A structure set of regions by number: their names and contours; None for one that is not drawn at
    all."""
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.SOPClassUID, dataset.SOPInstanceUID = RTStructureSetStorage, "1.2.826.0.1.99"
    dataset.SpecificCharacterSet = "ISO_IR 192"
    if series is not None:
        listed, study, frame = Dataset(), Dataset(), Dataset()
        listed.SeriesInstanceUID = series
        listed.ContourImageSequence = [reference(uid) for uid in instances]
        study.RTReferencedSeriesSequence = [listed]
        frame.FrameOfReferenceUID, frame.RTReferencedStudySequence = frame_of_reference, [study]
        dataset.ReferencedFrameOfReferenceSequence = [frame]
    dataset.StructureSetROISequence = []
    dataset.ROIContourSequence = []
    for number, (name, contours) in rois.items():
        item = Dataset()
        item.ROINumber, item.ROIName, item.ReferencedFrameOfReferenceUID = number, name, frame_of_reference
        dataset.StructureSetROISequence.append(item)
        if contours is not None:
            drawn = Dataset()
            drawn.ReferencedROINumber, drawn.ROIDisplayColor, drawn.ContourSequence = (
                number,
                [255, 0, 9],
                contours,
            )
            dataset.ROIContourSequence.append(drawn)
    dataset.save_as(path, enforce_file_format=True)
    return path
