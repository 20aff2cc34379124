"""DICOM segmentations: the segments and frames of a file, and the positions of the frames."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from pydicom import Dataset
from pydicom.uid import SegmentationStorage

from pyraseg.transforms.dicom.files.header import ParsedFile, read_attributes
from pyraseg.transforms.dicom.files.objects import parse_object
from pyraseg.transforms.dicom.files.values import (
    BrokenFile,
    first_item,
    foreign,
    items,
    numbers,
    readable,
    text,
    texts,
    whole,
)

__all__ = [
    "LABEL_MAP_STORAGE",
    "SegmentFrame",
    "SegmentInfo",
    "Segmentation",
    "instances_by_series",
    "read_segmentation",
]

LABEL_MAP_STORAGE = "1.2.840.10008.5.1.4.1.1.66.7"  # of 2024; pydicom 3.0 has no name
KINDS = ("BINARY", "FRACTIONAL", "LABELMAP")


@dataclass(frozen=True)
class SegmentInfo:
    """One item of Segment Sequence (PS3.3 C.8.20.4): its number, and its label, which may name a person."""

    number: int
    label: str = field(repr=False)


@dataclass(frozen=True)
class SegmentFrame:
    """The functional groups of one frame (PS3.3 C.7.6.16).

    Attributes:
        segment: Referenced Segment Number; 0 in a label map, whose frames hold all segments.
        position: Image Position (Patient), LPS mm of the first pixel's centre; None if absent, as the next.
        orientation: Image Orientation (Patient), along the row and along the column.
        spacing: mm between rows and between columns.
        images: SOP Instance UID and frame index, from 0, of the images that it was derived from.
    """

    segment: int
    position: tuple[float, ...] | None
    orientation: tuple[float, ...] | None
    spacing: tuple[float, ...] | None
    images: tuple[tuple[str, int], ...]


@dataclass(frozen=True)
class Segmentation:
    """The header of a segmentation.

    Attributes:
        path: the file, for its pixels and for errors.
        kind: "BINARY", "FRACTIONAL" or "LABELMAP".
        maximum: the value of 1 in a fractional one.
        padding: a value of the background in a label map, beside 0.
        rows, columns: of a frame.
        segments: without the background of a label map.
        frames: in the file's order.
        frame_of_reference_uid: empty where it has none.
        series: the SOP Instance UIDs of each Series Instance UID that it refers to (0008,1115).
        bit_stream: offset and length in bytes of frames stored as contiguous bits; else None.
    """

    path: str = field(repr=False)
    kind: str
    maximum: int
    padding: int
    rows: int
    columns: int
    segments: tuple[SegmentInfo, ...]
    frames: tuple[SegmentFrame, ...]
    frame_of_reference_uid: str
    series: Mapping[str, frozenset[str]]
    bit_stream: tuple[int, int] | None = None


def read_segmentation(path: str | Path) -> Segmentation:
    """Read the header of a segmentation; its pixels stay on disk.

    By pydicom: highdicom checks the whole object first, which takes five times as long for 300 slices.

    Raises:
        InputError: not DICOM, another kind of object, cut off, or two segments of one number.
    """
    wanted = "a DICOM segmentation"
    parsed = parse_object(path, {SegmentationStorage, LABEL_MAP_STORAGE}, wanted=wanted, modality="SEG")
    with readable(wanted, path=parsed.path), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pydicom's warnings quote values, which it converts late
        return _segmentation(read_attributes(parsed.path, before_pixels=True), parsed)


def _segmentation(dataset: Dataset, parsed: ParsedFile) -> Segmentation:
    kind = text(dataset, "SegmentationType")
    frames = items(dataset, "PerFrameFunctionalGroupsSequence")
    counted = len(frames) == whole(dataset, "NumberOfFrames", required=True)
    if kind not in KINDS or not counted or "SegmentSequence" not in dataset or parsed.pixels is None:
        raise BrokenFile("no frames of segments")
    segments = tuple(
        SegmentInfo(number, text(item, "SegmentLabel"))
        for item in items(dataset, "SegmentSequence")
        if (number := whole(item, "SegmentNumber", required=True))
    )
    if len({segment.number for segment in segments}) < len(segments):
        remedy = "Number the segments anew in the program that drew them."
        raise BrokenFile("a Segment Number (0062,0004) that two of them have", remedy=remedy)
    syntax = parsed.transfer_syntax
    allocated = whole(dataset, "BitsAllocated", required=True)
    with foreign():  # a UID that is no transfer syntax
        bits = not syntax.is_encapsulated and syntax.is_little_endian and allocated == 1
    shared = first_item(dataset, "SharedFunctionalGroupsSequence")
    reference = text(dataset, "FrameOfReferenceUID")
    return Segmentation(
        path=str(parsed.path),
        kind=kind,
        maximum=whole(dataset, "MaximumFractionalValue", required=True) if kind == "FRACTIONAL" else 1,
        padding=whole(dataset, "PixelPaddingValue"),
        rows=whole(dataset, "Rows", required=True),
        columns=whole(dataset, "Columns", required=True),
        segments=segments,
        frames=tuple(_frame(item, shared, kind, placed=bool(reference)) for item in frames),
        frame_of_reference_uid=reference,
        series=instances_by_series(items(dataset, "ReferencedSeriesSequence"), "ReferencedInstanceSequence"),
        bit_stream=parsed.pixels[1:] if bits else None,
    )


def _frame(item: Dataset, shared: Dataset, kind: str, *, placed: bool) -> SegmentFrame:
    def group(name: str) -> Dataset:
        return first_item(item if name in item else shared, name)

    segment = 0
    if kind != "LABELMAP":
        segment = whole(group("SegmentIdentificationSequence"), "ReferencedSegmentNumber", required=True)
    images = tuple(_images(item) or _images(shared))

    def plane(name: str, keyword: str, count: int) -> tuple[float, ...] | None:
        """None for nominal planes: without a Frame of Reference pixels are the named image's (A.51.5.1)."""
        return numbers(group(name), keyword, count) if placed or not images else None

    return SegmentFrame(
        segment=segment,
        position=plane("PlanePositionSequence", "ImagePositionPatient", 3),
        orientation=plane("PlaneOrientationSequence", "ImageOrientationPatient", 6),
        spacing=plane("PixelMeasuresSequence", "PixelSpacing", 2),
        images=images,
    )


def _images(item: Dataset) -> list[tuple[str, int]]:
    """The images in Derivation Image (PS3.3 C.7.6.16.2.6)."""
    images: list[tuple[str, int]] = []
    for derivation in items(item, "DerivationImageSequence"):
        for source in items(derivation, "SourceImageSequence"):
            uid, frames = text(source, "ReferencedSOPInstanceUID"), texts(source, "ReferencedFrameNumber")
            if not all(frame.isdigit() for frame in frames):
                raise BrokenFile("a frame number that is none")
            images += [(uid, int(frame) - 1) for frame in frames or ("1",)]
    return images


def instances_by_series(series: Iterable[Dataset], name: str) -> dict[str, frozenset[str]]:
    """The SOP Instance UIDs, in the sequence ``name``, that an object refers to, by Series Instance UID."""
    by_series: dict[str, frozenset[str]] = {}
    for item in series:
        uid = text(item, "SeriesInstanceUID")
        instances = frozenset(text(image, "ReferencedSOPInstanceUID") for image in items(item, name)) - {""}
        by_series[uid] = by_series.get(uid, frozenset()) | instances
    return by_series
