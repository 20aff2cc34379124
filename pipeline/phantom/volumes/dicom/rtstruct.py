"""The true labels as an RT Structure Set of the series."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from numpy.typing import NDArray
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.uid import ImplicitVRLittleEndian

from pyraseg.pipeline.phantom.identity import file_meta, make_uid
from pyraseg.pipeline.phantom.volumes.acquisition import Acquisition
from pyraseg.pipeline.writers.dicom.rtstruct import write_rtstruct
from pyraseg.pipeline.writers.prediction import Algorithm
from pyraseg.transforms.dicom.series.source_series import SourceSeries
from pyraseg.transforms.records import Code, Segment, SourceRef

__all__ = ["build_rtstruct"]

SEGMENTS = (
    Segment(0, "background", (0, 0, 0)),
    Segment(
        1,
        "tumour",
        (220, 60, 40),
        Code("49755003", "SCT", "Morphologically Abnormal Structure"),
        Code("372087000", "SCT", "Neoplasm, Primary"),
    ),
)
MAKER = Algorithm("pyraseg phantom", "1", "phantom", "phantom")
DESCRIPTION = "Synthetic structures of no person"


def build_rtstruct(
    slices: Sequence[Dataset], mask: NDArray[np.bool_], acquisition: Acquisition, *, root: tuple[object, ...]
) -> Dataset:
    """Build a structure set of the lesions with one region of interest, "tumour", through the writer of
    results.

    Args:
        slices: the series without faults, in the order of the instance numbers.
        mask: (x, y, z).
        root: what the UIDs are derived from.
    """
    in_order = [slices[acquisition.instances.index(index)] for index in range(mask.shape[2])]
    with TemporaryDirectory() as scratch:
        first, path = Path(scratch, "first.dcm"), Path(scratch, "structures.dcm")
        in_order[0].save_as(
            first, enforce_file_format=True
        )  # the writer takes patient and study from the file
        series = SourceSeries(
            acquisition.grid,
            in_order[0].FrameOfReferenceUID,
            tuple(_reference(each, first) for each in in_order),
        )
        write_rtstruct(path, mask.astype(np.uint8), series, segments=SEGMENTS, algorithm=MAKER)
        dataset = dcmread(path)
    _fix(dataset, in_order[0], root)
    return dataset


def _reference(dataset: Dataset, path: Path) -> SourceRef:
    return SourceRef(
        path=str(path),
        sop_instance_uid=dataset.SOPInstanceUID,
        sop_class_uid=dataset.SOPClassUID,
        series_instance_uid=dataset.SeriesInstanceUID,
        modality=dataset.Modality,
        transfer_syntax_uid=dataset.file_meta.TransferSyntaxUID,
        number_of_frames=1,
        rows=dataset.Rows,
        columns=dataset.Columns,
        study_instance_uid=dataset.StudyInstanceUID,
    )


def _fix(dataset: Dataset, source: Dataset, root: tuple[object, ...]) -> None:
    """Drawn by nobody's algorithm; and the clock and the UIDs replaced, so that the same seed gives the same
    bytes."""
    dataset.SOPInstanceUID, dataset.SeriesInstanceUID = (
        make_uid(*root, f"structures{w}") for w in ("", " series")
    )
    for kind in ("InstanceCreation", "StructureSet"):
        setattr(dataset, f"{kind}Date", source.StudyDate)
        setattr(dataset, f"{kind}Time", source.StudyTime)
    dataset.SeriesDescription = dataset.StructureSetDescription = DESCRIPTION
    dataset.Manufacturer, dataset.ManufacturerModelName = source.Manufacturer, "phantom"
    dataset.SoftwareVersions = dataset.DeviceSerialNumber = "1"
    for region in dataset.StructureSetROISequence:
        region.ROIGenerationAlgorithm, region.ROIGenerationDescription = "MANUAL", DESCRIPTION
    dataset.file_meta = file_meta(dataset, ImplicitVRLittleEndian)
