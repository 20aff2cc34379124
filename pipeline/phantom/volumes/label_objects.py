"""The true labels of a series as a DICOM segmentation and as an RT Structure Set."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.sr.coding import Code as PydicomCode
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian

from pyraseg.pipeline.phantom.identity import file_meta, make_uid
from pyraseg.pipeline.phantom.volumes.acquisition import Acquisition
from pyraseg.pipeline.writers.dicom.rtstruct import write_rtstruct
from pyraseg.pipeline.writers.prediction import Algorithm
from pyraseg.transforms.dicom.series.source_series import SourceSeries
from pyraseg.transforms.records import Code, Segment, SourceRef

__all__ = ["build_rtstruct", "build_seg"]

CATEGORY = Code("49755003", "SCT", "Morphologically Abnormal Structure")
TUMOUR = Code("372087000", "SCT", "Neoplasm, Primary")
SEGMENTS = (
    Segment(0, "background", (0, 0, 0)),
    Segment(1, "tumour", (220, 60, 40), CATEGORY, TUMOUR),
)
SEG_SERIES_NUMBER = 100
MAKER = Algorithm("pyraseg phantom", "1", "phantom", "phantom")
DESCRIPTION = "Synthetic structures of no person"


def build_seg(slices: Sequence[Dataset], mask: NDArray[np.bool_], *, root: tuple[object, ...]) -> Dataset:
    """Build a binary segmentation of the lesions with one segment; slices without a lesion have no frame.

    Args:
        slices: the series, in the order of the mask's slices.
        mask: (slices, rows, columns).
        root: the seed of the UIDs.
    """
    import highdicom  # takes a second, and ultrasound does not need it

    category, tumour = (PydicomCode(code.value, code.scheme, code.meaning) for code in (CATEGORY, TUMOUR))
    algorithm: Any = highdicom.seg.SegmentAlgorithmTypeValues.MANUAL
    dataset = highdicom.seg.Segmentation(
        source_images=list(slices),
        pixel_array=mask.astype(np.uint8),
        segmentation_type=highdicom.seg.SegmentationTypeValues.BINARY,
        segment_descriptions=[highdicom.seg.SegmentDescription(1, "tumour", category, tumour, algorithm)],
        series_instance_uid=make_uid(*root, "segmentation series"),
        series_number=SEG_SERIES_NUMBER,
        sop_instance_uid=make_uid(*root, "segmentation"),
        instance_number=1,
        manufacturer="pyraseg phantom",
        manufacturer_model_name="phantom",
        software_versions="1",
        device_serial_number="1",
    )
    # replace clock and random UIDs, so that the same seed gives the same bytes
    organization = make_uid(*root, "dimensions")
    for item in (*dataset.DimensionOrganizationSequence, *dataset.DimensionIndexSequence):
        item.DimensionOrganizationUID = organization
    for kind in ("Content", "InstanceCreation", "Series"):
        if f"{kind}Date" in dataset:
            setattr(dataset, f"{kind}Date", slices[0].StudyDate)
            setattr(dataset, f"{kind}Time", slices[0].StudyTime)
    for equipment in dataset.get("ContributingEquipmentSequence", ()):
        equipment.ContributionDateTime = slices[0].StudyDate + slices[0].StudyTime
    dataset.file_meta = file_meta(dataset, ExplicitVRLittleEndian)
    return dataset


def build_rtstruct(
    slices: Sequence[Dataset], mask: NDArray[np.bool_], acquisition: Acquisition, *, root: tuple[object, ...]
) -> Dataset:
    """Build a structure set with one region of interest, "tumour", by the writer of results.

    Args:
        slices: the series without faults, in the order of the instance numbers.
        mask: (x, y, z).
        root: the seed of the UIDs.
    """
    in_order = [slices[acquisition.instances.index(index)] for index in range(mask.shape[2])]
    with TemporaryDirectory() as scratch:
        first, path = Path(scratch, "first.dcm"), Path(scratch, "structures.dcm")
        in_order[0].save_as(first, enforce_file_format=True)  # source of the writer's patient and study
        references = tuple(_reference(each, first) for each in in_order)
        series = SourceSeries(acquisition.grid, in_order[0].FrameOfReferenceUID, references)
        write_rtstruct(path, mask.astype(np.uint8), series, segments=SEGMENTS, algorithm=MAKER)
        dataset = dcmread(path)
    # no algorithm drew it; replace clock and UIDs, so that the same seed gives the same bytes
    source = in_order[0]
    dataset.SOPInstanceUID = make_uid(*root, "structures")
    dataset.SeriesInstanceUID = make_uid(*root, "structures series")
    for kind in ("InstanceCreation", "StructureSet"):
        setattr(dataset, f"{kind}Date", source.StudyDate)
        setattr(dataset, f"{kind}Time", source.StudyTime)
    dataset.SeriesDescription = dataset.StructureSetDescription = DESCRIPTION
    dataset.Manufacturer, dataset.ManufacturerModelName = source.Manufacturer, "phantom"
    dataset.SoftwareVersions = dataset.DeviceSerialNumber = "1"
    for region in dataset.StructureSetROISequence:
        region.ROIGenerationAlgorithm, region.ROIGenerationDescription = "MANUAL", DESCRIPTION
    dataset.file_meta = file_meta(dataset, ImplicitVRLittleEndian)
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
