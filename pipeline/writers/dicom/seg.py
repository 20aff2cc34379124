"""DICOM segmentations of single frames, cines and volumes, on the grid of their source."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
from pydicom import Dataset
from pydicom.uid import SegmentationStorage
from pydicom.valuerep import format_number_as_ds

from pyraseg.pipeline.writers.dicom.object import (
    NO_FRAME,
    WrittenObject,
    code_item,
    frame_of_reference,
    image_items,
    make_item,
    new_object,
    save,
    uid_item,
)
from pyraseg.pipeline.writers.dicom.segments import foreground, segment_items, uncoded
from pyraseg.pipeline.writers.dicom.source import (
    SourceHeader,
    add_uid,
    check_images,
    derive_uid,
    frame_reference,
    read_source,
)
from pyraseg.pipeline.writers.prediction import Prediction
from pyraseg.transforms.errors import ConfigError, GeometryError, LabelError, OutputError
from pyraseg.transforms.geometry.grid import VolumeGrid
from pyraseg.transforms.records import Code

__all__ = ["KINDS", "write_seg"]

KINDS = ("binary", "labelmap", "fractional")
LABEL_MAP_STORAGE = "1.2.840.10008.5.1.4.1.1.66.7"  # of 2024; pydicom 3.0 has no name for it
LONGEST = 2**32 - 2  # bytes of Pixel Data
SEGMENTATION = Code("113076", "DCM", "Segmentation")
SOURCE_IMAGE = Code("121322", "DCM", "Source image for image processing operation")
BYTE = 8  # bits
MAXIMUM = 255  # Maximum Fractional Value (0062,000E)
SEGMENT_POINTERS = (0x0062000B, 0x0062000A)  # Referenced Segment Number in Segment Identification Sequence
FRAME_POINTERS = (0x00209156, 0x00209111)  # Frame Acquisition Number in Frame Content Sequence
POSITION_POINTERS = (0x00200032, 0x00209113)  # Image Position (Patient) in Plane Position Sequence
Plane = tuple[int, int]  # a segment's number (0: all of a label map) and a source frame


def write_seg(
    path: str | Path,
    prediction: Prediction,
    *,
    kind: str = "binary",
    header: SourceHeader | None = None,
) -> WrittenObject:
    """Write a segmentation of all frames of the source as one object, even if the mask is empty.

    Patient and study are the source's, repaired (`read_source`). Every frame references its source frame.
    Ultrasound has no Frame of Reference, and neither has its segmentation (PS3.3 A.51); its planes are for
    viewers that need some (`_plane`). The frames of a volume have their position in the patient; a segment
    has no frames for slices without it. A repeated run gives the same UIDs.

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

    >>> import tempfile
    >>> import numpy as np
    >>> from pydicom import dcmread
    >>> from pydicom.data import get_testdata_file
    >>> from pyraseg.pipeline.writers import Algorithm, Prediction, write_seg
    >>> lesion = np.zeros((128, 128), np.uint8)
    >>> lesion[40:80, 50:90] = 1
    >>> path = get_testdata_file("CT_small.dcm")
    >>> prediction = Prediction.of_file(path, lesion, ["lesion"], algorithm=Algorithm("my network"))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     written = write_seg(f"{folder}/seg.dcm", prediction)
    ...     int(dcmread(written.path).pixel_array.sum())
    1600
    """
    _check(prediction, kind)
    header = header or read_source(prediction.source)
    check_images(prediction.images)
    segments = foreground(prediction)
    planes = _planes(prediction, [segment.value for segment in segments], kind)
    length = len(planes) * prediction.labels[0].size
    if kind == "binary":
        length = -(-length // BYTE)
    if length > LONGEST:
        found, remedy = f"{length / 2**30:.1f} GiB", 'Choose "binary", or cut the cine into parts.'
        raise OutputError("pixel data of less than 4 GiB, DICOM's limit", found=found, remedy=remedy)
    dataset, _ = new_object(
        header,
        prediction.algorithm,
        kind=f"SEG {kind}",
        sop_class_uid=LABEL_MAP_STORAGE if kind == "labelmap" else SegmentationStorage,
        salt=prediction.salt,
        replaced=prediction.replaced,
    )
    _add_segmentation(dataset, header, prediction, kind, planes)
    placed = prediction.series is None or prediction.series.frame_of_reference_uid
    return save(
        dataset,
        path,
        notes=(*header.notes, *(() if placed else (NO_FRAME,)), *uncoded(prediction)),
        frame_numbers={
            segment.name: tuple(n for n, (value, _) in enumerate(planes, 1) if value in (0, segment.value))
            for segment in segments
        },
        pixels=_pixels(prediction, kind, planes),
        length=length,
    )


def _check(prediction: Prediction, kind: str) -> None:
    if kind not in KINDS:
        remedy = f"Choose one of {', '.join(KINDS)}."
        raise ConfigError("a kind of segmentation", found=f'"{kind}"', remedy=remedy)
    source, labels, segments = prediction.source, prediction.labels, prediction.segments
    shape = (source.number_of_frames, source.rows, source.columns)
    if prediction.series is not None:
        shape = prediction.series.grid.shape[::-1]
    if labels.shape != shape:
        remedy = "Restore the label map to its source's grid first."
        raise GeometryError(f"labels {shape}, as the source", found=f"{labels.shape}", remedy=remedy)
    if kind == "fractional":
        _check_probabilities(prediction.probabilities, (shape[0], len(segments), *shape[1:]))
    if [segment.value for segment in segments] != list(range(len(segments))) or not 2 <= len(segments) <= 256:
        remedy = "Number the label names from 0, the background, on."
        raise LabelError("segments with the values 1, 2, ... up to 255", found="other values", remedy=remedy)
    if (highest := max(int(frame.max()) for frame in labels)) >= len(segments):
        remedy = "Give every class of the network a segment."
        raise LabelError(f"labels from 0 to {len(segments) - 1}", found=f"{highest}", remedy=remedy)


def _check_probabilities(probabilities: np.ndarray | None, shape: tuple[int, ...]) -> None:
    if probabilities is None:
        remedy = 'Ask for the probabilities, or choose "binary".'
        raise ConfigError('probabilities for "fractional"', found="none", remedy=remedy)
    if probabilities.shape != shape:
        remedy = "Restore the probabilities to their source's grid first."
        raise GeometryError(f"probabilities {shape}", found=f"{probabilities.shape}", remedy=remedy)


def _add_segmentation(
    dataset: Dataset, header: SourceHeader, prediction: Prediction, kind: str, planes: Sequence[Plane]
) -> None:
    """Segmentation Series, General Image, Image Pixel and Segmentation Image, frames and references.

    PS3.3 C.8.20.1, C.7.6.1, C.7.6.3, C.8.20.2.
    """
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
    if kind == "labelmap":
        dataset.PixelPaddingValue = 0  # the background, C.8.20.2
    bits = 1 if kind == "binary" else BYTE
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.Rows, dataset.Columns = prediction.labels.shape[1:]
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = bits, bits, bits - 1
    dataset.PixelRepresentation = 0
    dataset.SegmentSequence = segment_items(prediction, background=kind == "labelmap")
    _add_functional_groups(dataset, header, prediction, planes)
    series = uid_item(SeriesInstanceUID=header.identity.SeriesInstanceUID)
    series.ReferencedInstanceSequence = image_items(prediction.images)
    dataset.ReferencedSeriesSequence = [series]  # Common Instance Reference, C.12.2


def _pixels(prediction: Prediction, kind: str, planes: Sequence[Plane]) -> Iterable[np.ndarray]:
    """Pixel Data in pieces."""
    if kind == "labelmap":
        return (prediction.labels[frame].astype(np.uint8, copy=False) for _, frame in planes)
    if kind == "fractional" and prediction.probabilities is not None:
        return _fractional_pixels(prediction.probabilities, planes)
    return _binary_pixels(prediction.labels, planes)


def _planes(prediction: Prediction, values: Sequence[int], kind: str) -> list[Plane]:
    """The frames of a segmentation: each segment with all frames of a file, or with its slices of a volume.

    An empty volume keeps one empty frame, because an object must have one.

    Args:
        values: of the segments.
        kind: as ``write_seg``.
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


def _binary_pixels(labels: np.ndarray, planes: Sequence[Plane]) -> Iterator[np.ndarray]:
    """The mask of each plane in turn as one stream, one bit for each pixel, lowest bit first (PS3.5 8.1.1).

    Args:
        labels: (F, H, W); may lie on disk.
    """
    block = np.empty((BYTE, *labels.shape[1:]), bool)
    for start in range(0, len(planes), BYTE):
        chunk = planes[start : start + BYTE]
        for row, (value, frame) in zip(block, chunk, strict=False):
            np.equal(labels[frame], value, out=row)
        yield np.packbits(block[: len(chunk)].reshape(-1), bitorder="little")


def _fractional_pixels(probabilities: np.ndarray, planes: Sequence[Plane]) -> Iterator[np.ndarray]:
    """The probability of each plane's class in turn, (H, W) uint8 from 0 to ``MAXIMUM``.

    Args:
        probabilities: (F, K, H, W), the classes by value.
    """
    for value, frame in planes:
        scaled = np.clip(probabilities[frame, value].astype(np.float32), 0, 1) * MAXIMUM
        yield np.rint(scaled).astype(np.uint8)


def _add_functional_groups(
    dataset: Dataset, header: SourceHeader, prediction: Prediction, planes: Sequence[Plane]
) -> None:
    """Multi-frame Functional Groups and Multi-frame Dimension (PS3.3 C.7.6.16, C.7.6.17).

    Every frame names its source frame (Derivation Image); of a single file Frame Acquisition Number states it
    even where the source's class has no frames. The dimension of a volume's slices is their position.
    """
    grid = None if prediction.series is None else prediction.series.grid
    frames = sorted({frame for _, frame in planes})
    derivations = {frame: _derivation(header, prediction, frame) for frame in frames}
    positions = {frame: _position(grid, frame) for frame in frames}
    ranks = {frame: frame + 1 if grid is None else rank for rank, frame in enumerate(frames, start=1)}
    frame_pointers = FRAME_POINTERS if grid is None else POSITION_POINTERS
    _add_dimensions(dataset, [SEGMENT_POINTERS, frame_pointers] if planes[0][0] else [frame_pointers])
    if prediction.series is not None:  # C.7.4.1
        add_uid(dataset, "FrameOfReferenceUID", frame_of_reference(header, prediction.series))
        dataset.PositionReferenceIndicator = None
    dataset.SharedFunctionalGroupsSequence = [_plane(grid, prediction.spacing_mm)]
    dataset.PerFrameFunctionalGroupsSequence = [
        _frame(derivations[frame], positions[frame], segment, ranks[frame], numbered=grid is None)
        for segment, frame in planes
    ]
    dataset.NumberOfFrames = len(planes)


def _plane(grid: VolumeGrid | None, spacing_mm: tuple[float, float] | None) -> Dataset:
    """Plane Orientation and Pixel Measures (PS3.3 C.7.6.16.2.4, C.7.6.16.2.1), shared by all frames.

    Ultrasound has no Frame of Reference: its masks lie on the pixels of the images that they name (A.51.5.1),
    and A.51.5 asks for no planes. But OHIF needs both groups, 3D Slicer and pydicom-seg positions too. So
    there are nominal ones, rows along x, one frame after another along z, 1 mm apart; an extension (PS3.2
    3.11.3) that a reader who follows the standard can ignore. A Frame of Reference made up for them would
    claim places in the patient. Pixel Spacing is the source's, and absent without calibration, which
    C.7.6.16.2.1 allows where there is no Frame of Reference: with 1 mm, tools would measure.
    """
    if grid is not None:
        columns, rows, slices = _decimals(grid.spacing)
        orientation = _decimals([*grid.row_direction, *grid.column_direction])
        measures = make_item(PixelSpacing=[rows, columns], SliceThickness=slices, SpacingBetweenSlices=slices)
    else:
        orientation, measures = ["1", "0", "0", "0", "1", "0"], make_item(SpacingBetweenSlices=1)
        if spacing_mm:
            measures.PixelSpacing, measures.SliceThickness = _decimals(spacing_mm), 1
    plane = make_item(ImageOrientationPatient=orientation)
    return make_item(PlaneOrientationSequence=[plane], PixelMeasuresSequence=[measures])


def _position(grid: VolumeGrid | None, index: int) -> Dataset:
    """Plane Position (PS3.3 C.7.6.16.2.3) of a slice, or the nominal one of a frame (`_plane`)."""
    if grid is None:
        return make_item(ImagePositionPatient=[0, 0, index])
    step = np.multiply(grid.slice_direction, grid.spacing[2])
    return make_item(ImagePositionPatient=_decimals(np.asarray(grid.origin) + index * step))


def _decimals(values: Iterable[float]) -> list[str]:
    """As many digits as DS can hold."""
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


def _frame(derivation: Dataset, position: Dataset, segment: int, rank: int, *, numbered: bool) -> Dataset:
    content = make_item(DimensionIndexValues=[segment, rank] if segment else [rank])
    if numbered:
        content.FrameAcquisitionNumber = rank
    item = make_item(
        PlanePositionSequence=[position],
        FrameContentSequence=[content],
        DerivationImageSequence=[derivation],
    )
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
