"""DICOM segmentations of single frames, cines and volumes, on the grid of their source."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from pydicom import Dataset
from pydicom.uid import SegmentationStorage

from pyraseg.pipeline.writers.dicom.object import WrittenObject, new_object, object_identity, save
from pyraseg.pipeline.writers.dicom.planes import NO_FRAME
from pyraseg.pipeline.writers.dicom.seg_frames import (
    BYTE,
    MAXIMUM,
    Plane,
    add_functional_groups,
    add_references,
    binary_pixels,
    fractional_pixels,
    planes_of,
)
from pyraseg.pipeline.writers.dicom.seg_segments import foreground, segment_items, uncoded
from pyraseg.pipeline.writers.dicom.source import SourceHeader, check_images, read_source
from pyraseg.pipeline.writers.prediction import Prediction
from pyraseg.transforms.errors import ConfigError, GeometryError, LabelError, OutputError

__all__ = ["KINDS", "write_seg"]

KINDS = ("binary", "labelmap", "fractional")
LABEL_MAP_STORAGE = (
    "1.2.840.10008.5.1.4.1.1.66.7"  # Label Map Segmentation Storage, of 2024; pydicom 3.0 has no name
)
FIRST_SERIES_NUMBER = 1000
LONGEST = 2**32 - 2  # bytes of Pixel Data


def write_seg(
    path: str | Path,
    prediction: Prediction,
    *,
    kind: str = "binary",
    header: SourceHeader | None = None,
) -> WrittenObject:
    """Write a segmentation of all frames of the source: one object, whatever the mask holds, empty too.

    Patient and study are the source's, repaired (`read_source`). Every frame references its source frame. One
    path serves single frames, cines and volumes. Ultrasound has no Frame of Reference, and the object then
    has none (PS3.3 A.51); the frames of a volume have their place in the patient, and slices that a segment
    is not in have none. A repeated run gives the same UIDs.

    Args:
        kind: "binary", a bit for each pixel, segment and frame; "labelmap", a byte for each pixel and frame
            (Label Map Segmentation Storage, of 2024, which older viewers do not know); "fractional", the
            probabilities in bytes, 0 to 255.
        header: the source's, where it has been read.

    Raises:
        ConfigError: another kind, or "fractional" without probabilities.
        GeometryError: labels or probabilities of another shape than the source's frames.
        LabelError: a label without a segment, or segments whose values do not count up from 1.
        InputError: the source's header lacks what results are filed by.
        OutputError: the file cannot be written, or would be longer than DICOM allows.
    """
    _check(prediction, kind)
    header = header or read_source(prediction.source)
    check_images(() if prediction.series is None else prediction.series.slices)
    planes = planes_of(prediction, [segment.value for segment in foreground(prediction)], kind)
    length = _length(prediction, kind, len(planes))
    _check_length(length)
    identity = object_identity(
        header, prediction, kind=f"segmentation {kind}", first_number=FIRST_SERIES_NUMBER
    )
    sop_class = LABEL_MAP_STORAGE if kind == "labelmap" else SegmentationStorage
    dataset = new_object(header, identity, prediction.algorithm, sop_class_uid=sop_class)
    _add_segmentation(dataset, header, prediction, kind, planes)
    return WrittenObject(
        path=save(dataset, path, pixels=_pixels(prediction, kind, planes), length=length),
        sop_class_uid=sop_class,
        sop_instance_uid=identity.sop_instance_uid,
        series_instance_uid=identity.series_instance_uid,
        notes=(*header.notes, *_unplaced(prediction), *uncoded(prediction)),
        frame_numbers=_frame_numbers(prediction, planes),
    )


def _check(prediction: Prediction, kind: str) -> None:
    if kind not in KINDS:
        raise ConfigError(
            "a kind of segmentation", found=f'"{kind}"', remedy=f"Choose one of {', '.join(KINDS)}."
        )
    source, labels, segments = prediction.source, prediction.labels, prediction.segments
    shape = (source.number_of_frames, source.rows, source.columns)
    if prediction.series is not None:
        shape = prediction.series.grid.shape[::-1]
    if labels.shape != shape:
        remedy = "Restore the label map to its source's grid first."
        raise GeometryError(f"labels {shape}, as the source", found=f"{labels.shape}", remedy=remedy)
    if kind == "fractional":
        _check_probabilities(prediction.probabilities, (shape[0], len(segments), *shape[1:]))
    _check_values(prediction)


def _check_values(prediction: Prediction) -> None:
    segments = prediction.segments
    if [segment.value for segment in segments] != list(range(len(segments))) or not 2 <= len(segments) <= 256:
        remedy = "Number the label names from 0, the background, on."
        raise LabelError("segments with the values 1, 2, ... up to 255", found="other values", remedy=remedy)
    if (highest := max(int(frame.max()) for frame in prediction.labels)) >= len(segments):
        remedy = "Give every class of the network a segment."
        raise LabelError(f"labels from 0 to {len(segments) - 1}", found=f"{highest}", remedy=remedy)


def _check_probabilities(probabilities: np.ndarray | None, shape: tuple[int, ...]) -> None:
    if probabilities is None:
        remedy = 'Ask for the probabilities, or choose "binary".'
        raise ConfigError('probabilities for "fractional"', found="none", remedy=remedy)
    if probabilities.shape != shape:
        remedy = "Restore the probabilities to their source's grid first."
        raise GeometryError(f"probabilities {shape}", found=f"{probabilities.shape}", remedy=remedy)


def _check_length(length: int) -> None:
    if length > LONGEST:
        raise OutputError(
            "pixel data of less than 4 GiB, DICOM's limit",
            found=f"{length / 2**30:.1f} GiB",
            remedy='Choose "binary", or cut the cine into parts.',
        )


def _unplaced(prediction: Prediction) -> tuple[str, ...]:
    series = prediction.series
    return () if series is None or series.frame_of_reference_uid else (NO_FRAME,)


def _add_segmentation(
    dataset: Dataset, header: SourceHeader, prediction: Prediction, kind: str, planes: Sequence[Plane]
) -> None:
    """Segmentation Series, General Image, Image Pixel and Segmentation Image (PS3.3 C.8.20.1, C.7.6.1,
    C.7.6.3, C.8.20.2), frames and references."""
    dataset.Modality = "SEG"
    dataset.ImageType = ["DERIVED", "PRIMARY"]
    if prediction.series is None:
        dataset.PatientOrientation = None  # type 2C, unknown for ultrasound
    dataset.ContentLabel = "SEGMENTATION"
    dataset.ContentDescription = "Made by an algorithm, not for diagnosis"
    dataset.ContentCreatorName = None
    dataset.update(header.compression)
    dataset.SegmentationType = kind.upper()
    if kind == "fractional":
        dataset.SegmentationFractionalType = "PROBABILITY"
        dataset.MaximumFractionalValue = MAXIMUM
    else:
        dataset.SegmentsOverlap = "NO"
    _add_image_pixel(dataset, prediction, bits=1 if kind == "binary" else BYTE)
    if kind == "labelmap":
        dataset.PixelPaddingValue = 0  # the background, C.8.20.2
    dataset.SegmentSequence = segment_items(prediction, background=kind == "labelmap")
    add_functional_groups(dataset, header, prediction, planes)
    add_references(dataset, header, prediction)


def _add_image_pixel(dataset: Dataset, prediction: Prediction, *, bits: int) -> None:
    dataset.SamplesPerPixel = 1
    dataset.PhotometricInterpretation = "MONOCHROME2"
    dataset.Rows, dataset.Columns = prediction.labels.shape[1:]
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = (
        bits,
        bits,
        bits - 1,
        0,
    )


def _pixels(prediction: Prediction, kind: str, planes: Sequence[Plane]) -> Iterable[np.ndarray]:
    """Pixel Data in pieces."""
    labels = prediction.labels
    if kind == "labelmap":
        return (labels[frame].astype(np.uint8, copy=False) for _, frame in planes)
    if kind == "fractional" and prediction.probabilities is not None:
        return fractional_pixels(prediction.probabilities, planes)
    return binary_pixels(labels, planes)


def _length(prediction: Prediction, kind: str, planes: int) -> int:
    """The bytes of Pixel Data."""
    _, rows, columns = prediction.labels.shape
    pixels = planes * rows * columns
    return -(-pixels // BYTE) if kind == "binary" else pixels


def _frame_numbers(prediction: Prediction, planes: Sequence[Plane]) -> dict[str, tuple[int, ...]]:
    return {
        segment.name: tuple(n for n, (value, _) in enumerate(planes, start=1) if value in (0, segment.value))
        for segment in foreground(prediction)
    }
