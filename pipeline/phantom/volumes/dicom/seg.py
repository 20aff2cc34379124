"""The true labels as a DICOM segmentation of the series."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.sr.coding import Code
from pydicom.uid import ExplicitVRLittleEndian

from pyraseg.pipeline.phantom.identity import file_meta, make_uid

__all__ = ["build_seg"]

CATEGORY = Code("49755003", "SCT", "Morphologically Abnormal Structure")
TUMOUR = Code("372087000", "SCT", "Neoplasm, Primary")
SERIES_NUMBER = 100


def build_seg(slices: Sequence[Dataset], mask: NDArray[np.bool_], *, root: tuple[object, ...]) -> Dataset:
    """Build a binary segmentation of the lesions with one segment; only slices with a lesion become frames.

    Args:
        slices: the series, in the order of the mask's slices.
        mask: (slices, rows, columns).
        root: what the UIDs are derived from.
    """
    import highdicom

    algorithm: Any = highdicom.seg.SegmentAlgorithmTypeValues.MANUAL
    dataset = highdicom.seg.Segmentation(
        source_images=list(slices),
        pixel_array=mask.astype(np.uint8),
        segmentation_type=highdicom.seg.SegmentationTypeValues.BINARY,
        segment_descriptions=[highdicom.seg.SegmentDescription(1, "tumour", CATEGORY, TUMOUR, algorithm)],
        series_instance_uid=make_uid(*root, "segmentation series"),
        series_number=SERIES_NUMBER,
        sop_instance_uid=make_uid(*root, "segmentation"),
        instance_number=1,
        manufacturer="pyraseg phantom",
        manufacturer_model_name="phantom",
        software_versions="1",
        device_serial_number="1",
    )
    _fix(dataset, slices[0], root)
    return dataset


def _fix(dataset: Dataset, source: Dataset, root: tuple[object, ...]) -> None:
    """Replace the clock and the random UIDs, so that the same seed gives the same bytes."""
    organization = make_uid(*root, "dimensions")
    for item in (*dataset.DimensionOrganizationSequence, *dataset.DimensionIndexSequence):
        item.DimensionOrganizationUID = organization
    for kind in ("Content", "InstanceCreation", "Series"):
        if f"{kind}Date" in dataset:
            setattr(dataset, f"{kind}Date", source.StudyDate)
            setattr(dataset, f"{kind}Time", source.StudyTime)
    for equipment in dataset.get("ContributingEquipmentSequence", ()):
        equipment.ContributionDateTime = source.StudyDate + source.StudyTime
    dataset.file_meta = file_meta(dataset, ExplicitVRLittleEndian)
