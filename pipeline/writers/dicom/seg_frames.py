"""The frames of a DICOM segmentation: their pixels as a stream, and what the functional groups say of each."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
from pydicom import Dataset
from pydicom.valuerep import format_number_as_ds

from pyraseg.pipeline.writers.dicom.object import code_item, frame_of_reference, image_items, make_item
from pyraseg.pipeline.writers.dicom.source import SourceHeader, add_uid, derive_uid, frame_reference
from pyraseg.pipeline.writers.prediction import Prediction
from pyraseg.transforms.dicom.series.source_series import SourceSeries
from pyraseg.transforms.geometry.grid import VolumeGrid
from pyraseg.transforms.records import Code

__all__ = [
    "BYTE",
    "MAXIMUM",
    "Plane",
    "add_functional_groups",
    "add_references",
    "binary_pixels",
    "fractional_pixels",
    "planes_of",
]

SEGMENTATION = Code("113076", "DCM", "Segmentation")
SOURCE_IMAGE = Code("121322", "DCM", "Source image for image processing operation")
BYTE = 8  # bits
MAXIMUM = 255  # Maximum Fractional Value (0062,000E)
SEGMENT_POINTERS = (0x0062000B, 0x0062000A)  # Referenced Segment Number in Segment Identification Sequence
FRAME_POINTERS = (0x00209156, 0x00209111)  # Frame Acquisition Number in Frame Content Sequence
POSITION_POINTERS = (0x00200032, 0x00209113)  # Image Position (Patient) in Plane Position Sequence
Plane = tuple[int, int]  # a segment's number, 0 for all of a label map, and a frame of the source


def planes_of(prediction: Prediction, values: Sequence[int], kind: str) -> list[Plane]:
    """The frames that a segmentation has: each segment with all frames of a file, or with the slices of a
    volume that it is in. A volume without anything keeps one empty frame, for an object has to have one.

    Args:
        values: of the segments. kind: as ``write_seg``.
    """
    frames, numbers = range(len(prediction.labels)), [0] if kind == "labelmap" else list(values)
    planes = [(number, frame) for number in numbers for frame in frames]
    if prediction.series is None:
        return planes
    return [plane for plane in planes if _is_drawn(prediction, plane, kind)] or planes[:1]


def _is_drawn(prediction: Prediction, plane: Plane, kind: str) -> bool:
    value, frame = plane
    if kind == "fractional" and prediction.probabilities is not None:
        return bool(prediction.probabilities[frame, value].max() * MAXIMUM > 0.5)
    labels = prediction.labels[frame]
    return bool((labels == value).any() if value else labels.any())


def binary_pixels(labels: np.ndarray, planes: Sequence[Plane]) -> Iterator[np.ndarray]:
    """The mask of each plane in turn, one bit a pixel, lowest bit first, as one stream (PS3.5 section 8.1.1).

    Frames do not start on a byte of their own, but every eighth does: so eight at a time.

    Args:
        labels: (F, H, W); may lie on disk.
    """
    block = np.empty((BYTE, *labels.shape[1:]), bool)
    for start in range(0, len(planes), BYTE):
        chunk = planes[start : start + BYTE]
        for row, (value, frame) in zip(block, chunk, strict=False):
            np.equal(labels[frame], value, out=row)
        yield np.packbits(block[: len(chunk)].reshape(-1), bitorder="little")


def fractional_pixels(probabilities: np.ndarray, planes: Sequence[Plane]) -> Iterator[np.ndarray]:
    """The probability of each plane's class in turn, (H, W) uint8 from 0 to ``MAXIMUM``.

    Args:
        probabilities: (F, K, H, W), the classes by value.
    """
    for value, frame in planes:
        scaled = np.clip(probabilities[frame, value].astype(np.float32), 0, 1) * MAXIMUM
        yield np.rint(scaled).astype(np.uint8)


def add_functional_groups(
    dataset: Dataset, header: SourceHeader, prediction: Prediction, planes: Sequence[Plane]
) -> None:
    """Multi-frame Functional Groups and Multi-frame Dimension (PS3.3 C.7.6.16, C.7.6.17).

    Ultrasound has no Frame of Reference, so its frames carry Derivation Image and no planes (A.51.5.1). Every
    frame names its source frame; Frame Acquisition Number says which it is even where the source's class has
    no frames. The slices of a volume have orientation and spacing in common and a position each, which is
    their dimension.
    """
    grid = None if prediction.series is None else prediction.series.grid
    frames = sorted({frame for _, frame in planes})
    derivations = {frame: _derivation(header, prediction, frame) for frame in frames}
    positions = {} if grid is None else {frame: _position(grid, frame) for frame in frames}
    ranks = {frame: frame + 1 if grid is None else rank for rank, frame in enumerate(frames, start=1)}
    frame_pointers = FRAME_POINTERS if grid is None else POSITION_POINTERS
    _add_dimensions(dataset, [SEGMENT_POINTERS, frame_pointers] if planes[0][0] else [frame_pointers])
    dataset.SharedFunctionalGroupsSequence = [Dataset()]
    if prediction.series is not None:
        _add_grid(dataset, header, prediction.series)
    dataset.PerFrameFunctionalGroupsSequence = [
        _frame(derivations[frame], frame, ranks[frame], segment, positions.get(frame))
        for segment, frame in planes
    ]
    dataset.NumberOfFrames = len(planes)


def add_references(dataset: Dataset, header: SourceHeader, prediction: Prediction) -> None:
    """Common Instance Reference (C.12.2): the source, all files of a volume, within its series."""
    series = Dataset()
    images = [prediction.source] if prediction.series is None else prediction.series.slices
    add_uid(series, "SeriesInstanceUID", header.identity.SeriesInstanceUID)
    series.ReferencedInstanceSequence = image_items(images)
    dataset.ReferencedSeriesSequence = [series]


def _add_grid(dataset: Dataset, header: SourceHeader, series: SourceSeries) -> None:
    """Frame of Reference, and among the shared functional groups Plane Orientation and Pixel Measures (PS3.3
    C.7.4.1, C.7.6.16.2.4, C.7.6.16.2.1)."""
    grid = series.grid
    add_uid(dataset, "FrameOfReferenceUID", frame_of_reference(header, series))
    dataset.PositionReferenceIndicator = None
    orientation = _decimals([*grid.row_direction, *grid.column_direction])
    columns, rows, slices = _decimals(grid.spacing)
    shared = dataset.SharedFunctionalGroupsSequence[0]
    shared.PlaneOrientationSequence = [make_item(ImageOrientationPatient=orientation)]
    shared.PixelMeasuresSequence = [
        make_item(PixelSpacing=[rows, columns], SliceThickness=slices, SpacingBetweenSlices=slices)
    ]


def _position(grid: VolumeGrid, index: int) -> Dataset:
    """Plane Position (PS3.3 C.7.6.16.2.3) of a slice."""
    step = np.multiply(grid.slice_direction, grid.spacing[2])
    return make_item(ImagePositionPatient=_decimals(np.asarray(grid.origin) + index * step))


def _decimals(values: Iterable[float]) -> list[str]:
    """As many digits as DS holds."""
    return [format_number_as_ds(float(value) + 0.0) for value in values]


def _add_dimensions(dataset: Dataset, pointers: Iterable[tuple[int, int]]) -> None:
    organization = derive_uid(dataset.SOPInstanceUID, "dimensions")
    dataset.DimensionOrganizationSequence = [make_item(DimensionOrganizationUID=organization)]
    dataset.DimensionIndexSequence = [
        make_item(
            DimensionOrganizationUID=organization,
            DimensionIndexPointer=pointer,
            FunctionalGroupPointer=group,
        )
        for pointer, group in pointers
    ]


def _frame(derivation: Dataset, frame: int, rank: int, segment: int, position: Dataset | None) -> Dataset:
    item, content = Dataset(), Dataset()
    if position is None:
        content.FrameAcquisitionNumber = frame + 1
    else:
        item.PlanePositionSequence = [position]
    content.DimensionIndexValues = [segment, rank] if segment else [rank]
    item.FrameContentSequence = [content]
    item.DerivationImageSequence = [derivation]
    if segment:
        item.SegmentIdentificationSequence = [make_item(ReferencedSegmentNumber=segment)]
    return item


def _derivation(header: SourceHeader, prediction: Prediction, frame: int) -> Dataset:
    """Derivation Image (C.7.6.16.2.6), shared by the frames of all segments."""
    image, index = prediction.image_of(frame)
    (source,) = image_items([image])
    if (number := frame_reference(header, index)) is not None:
        source.ReferencedFrameNumber = number
    source.PurposeOfReferenceCodeSequence = [code_item(SOURCE_IMAGE)]
    source.SpatialLocationsPreserved = "YES"
    return make_item(SourceImageSequence=[source], DerivationCodeSequence=[code_item(SEGMENTATION)])
