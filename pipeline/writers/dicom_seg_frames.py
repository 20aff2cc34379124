"""The frames of a DICOM segmentation: their pixels as a stream, and what their functional groups say of each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from pydicom import Dataset

from pipeline.writers.dicom_object import code_item
from pipeline.writers.dicom_source import SourceHeader, add_uid, derive_uid, frame_reference
from pipeline.writers.prediction import Prediction
from transforms.records import Code

__all__ = ["MAXIMUM", "add_functional_groups", "add_references", "binary_pixels", "fractional_pixels"]

SEGMENTATION = Code("113076", "DCM", "Segmentation")
SOURCE_IMAGE = Code("121322", "DCM", "Source image for image processing operation")
BYTE = 8  # bits
MAXIMUM = 255  # Maximum Fractional Value (0062,000E)
SEGMENT_POINTERS = (0x0062000B, 0x0062000A)  # Referenced Segment Number in Segment Identification Sequence
FRAME_POINTERS = (0x00209156, 0x00209111)  # Frame Acquisition Number in Frame Content Sequence


def binary_pixels(labels: np.ndarray, values: Sequence[int]) -> Iterator[np.ndarray]:
    """The frames of each value's mask in turn, one bit a pixel, lowest bit first, as one stream (PS3.5 section 8.1.1).

    Frames do not start on a byte of their own, but every eighth does: so eight at a time.

    Args:
        labels: (F, H, W); may lie on disk.
    """
    planes = [(value, frame) for value in values for frame in range(len(labels))]
    block = np.empty((BYTE, *labels.shape[1:]), bool)
    for start in range(0, len(planes), BYTE):
        chunk = planes[start : start + BYTE]
        for row, (value, frame) in zip(block, chunk, strict=False):
            np.equal(labels[frame], value, out=row)
        yield np.packbits(block[: len(chunk)].reshape(-1), bitorder="little")


def fractional_pixels(probabilities: np.ndarray, values: Sequence[int]) -> Iterator[np.ndarray]:
    """The frames of each class's probability in turn, (H, W) uint8 from 0 to ``MAXIMUM``.

    Args:
        probabilities: (F, K, H, W), the classes by value.
    """
    for value in values:
        for frame in range(len(probabilities)):
            scaled = np.clip(probabilities[frame, value].astype(np.float32), 0, 1) * MAXIMUM
            yield np.rint(scaled).astype(np.uint8)


def add_functional_groups(dataset: Dataset, header: SourceHeader, prediction: Prediction, segments: list[int]) -> None:
    """Multi-frame Functional Groups and Multi-frame Dimension (PS3.3 C.7.6.16, C.7.6.17).

    Ultrasound has no Frame of Reference, so the frames carry Derivation Image and no planes (A.51.5.1). Every frame
    names its source frame; Frame Acquisition Number says which it is even where the source's class has no frames.

    Args:
        segments: segment numbers, each with all frames; none for a label map, whose frames hold all segments.
    """
    count = len(prediction.labels)
    derivations = [_derivation(header, prediction, frame) for frame in range(count)]
    organization = derive_uid(dataset.SOPInstanceUID, "dimensions")
    _add_dimensions(dataset, organization, [SEGMENT_POINTERS] if segments else [])
    dataset.SharedFunctionalGroupsSequence = [Dataset()]
    planes: list[int | None] = [*segments] or [None]
    dataset.PerFrameFunctionalGroupsSequence = [
        _frame(derivations[frame], frame, segment) for segment in planes for frame in range(count)
    ]
    dataset.NumberOfFrames = count * len(planes)


def _add_dimensions(dataset: Dataset, organization: str, pointers: list[tuple[int, int]]) -> None:
    dataset.DimensionOrganizationSequence = [Dataset()]
    dataset.DimensionOrganizationSequence[0].DimensionOrganizationUID = organization
    items = []
    for pointer, group in [*pointers, FRAME_POINTERS]:
        item = Dataset()
        item.DimensionOrganizationUID = organization
        item.DimensionIndexPointer = pointer
        item.FunctionalGroupPointer = group
        items.append(item)
    dataset.DimensionIndexSequence = items


def _frame(derivation: Dataset, frame: int, segment: int | None) -> Dataset:
    item, content = Dataset(), Dataset()
    content.FrameAcquisitionNumber = frame + 1
    content.DimensionIndexValues = [frame + 1] if segment is None else [segment, frame + 1]
    item.FrameContentSequence = [content]
    item.DerivationImageSequence = [derivation]
    if segment is not None:
        identification = Dataset()
        identification.ReferencedSegmentNumber = segment
        item.SegmentIdentificationSequence = [identification]
    return item


def _derivation(header: SourceHeader, prediction: Prediction, frame: int) -> Dataset:
    """Derivation Image (C.7.6.16.2.6), shared by the frames of all segments."""
    item, source = Dataset(), _source_item(prediction)
    if (number := frame_reference(header, frame)) is not None:
        source.ReferencedFrameNumber = number
    source.PurposeOfReferenceCodeSequence = [code_item(SOURCE_IMAGE)]
    source.SpatialLocationsPreserved = "YES"
    item.SourceImageSequence = [source]
    item.DerivationCodeSequence = [code_item(SEGMENTATION)]
    return item


def add_references(dataset: Dataset, header: SourceHeader, prediction: Prediction) -> None:
    """Common Instance Reference (C.12.2): the source within its series."""
    series = Dataset()
    add_uid(series, "SeriesInstanceUID", header.identity.SeriesInstanceUID)
    series.ReferencedInstanceSequence = [_source_item(prediction)]
    dataset.ReferencedSeriesSequence = [series]


def _source_item(prediction: Prediction) -> Dataset:
    item = Dataset()
    add_uid(item, "ReferencedSOPClassUID", prediction.source.sop_class_uid)
    add_uid(item, "ReferencedSOPInstanceUID", prediction.source.sop_instance_uid)
    return item
