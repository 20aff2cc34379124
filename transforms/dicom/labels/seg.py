"""DICOM segmentations: which segments and frames a file holds, and where the frames lie."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from pydicom import Dataset
from pydicom.uid import SegmentationStorage

from pyraseg.transforms.dicom.files.header import ParsedFile
from pyraseg.transforms.dicom.files.object_file import broken, parse_object, read_attributes, text_uid

__all__ = ["LABEL_MAP_STORAGE", "SegmentFrame", "SegmentInfo", "Segmentation", "read_segmentation"]

LABEL_MAP_STORAGE = "1.2.840.10008.5.1.4.1.1.66.7"  # of 2024; pydicom 3.0 has no name
KINDS = ("BINARY", "FRACTIONAL", "LABELMAP")


@dataclass(frozen=True)
class SegmentInfo:
    """One item of Segment Sequence (PS3.3 C.8.20.4): its number, and its label, which may name a person."""

    number: int
    label: str = field(repr=False)


@dataclass(frozen=True)
class SegmentFrame:
    """What the functional groups say of one frame (PS3.3 C.7.6.16).

    Attributes:
        segment: Referenced Segment Number; 0 in a label map, whose frames hold all segments.
        position: Image Position (Patient), LPS mm of the centre of the first pixel; None where it has none.
        orientation: Image Orientation (Patient), along the row and along the column; None where it has none.
        spacing: mm between rows and between columns; None where it has none.
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
        maximum: what stands for 1 in a fractional one.
        padding: what stands for the background in a label map, beside 0.
        rows, columns: of a frame.
        segments: without the background of a label map.
        frames: in the file's order.
        frame_of_reference_uid: empty where it has none.
        series: the SOP Instance UIDs of each Series Instance UID that it refers to (0008,1115).
        bit_stream: offset and length in bytes of frames that are stored as bits, one frame right behind the
            other; None where they are not.
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
    """Read the header of a segmentation; its pixels stay on the disk.

    pydicom reads it: highdicom checks the whole object first, which takes five times as long for 300 slices.

    Raises:
        InputError: not DICOM, another kind of object, or cut off.
    """
    wanted = "a DICOM segmentation"
    parsed = parse_object(path, {SegmentationStorage, LABEL_MAP_STORAGE}, wanted=wanted, modality="SEG")
    with broken(parsed.path, wanted), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pydicom's quote the values, which it converts late
        return _segmentation(read_attributes(parsed.path, before_pixels=True), parsed)


def _segmentation(dataset: Dataset, parsed: ParsedFile) -> Segmentation:
    kind = str(dataset.SegmentationType).strip()
    frames = dataset.PerFrameFunctionalGroupsSequence
    if kind not in KINDS or len(frames) != int(dataset.NumberOfFrames):
        raise ValueError
    groups = list(dataset.get("SharedFunctionalGroupsSequence") or ())
    shared = groups[0] if groups else Dataset()
    return Segmentation(
        path=str(parsed.path),
        kind=kind,
        maximum=int(dataset.MaximumFractionalValue) if kind == "FRACTIONAL" else 1,
        padding=int(dataset.get("PixelPaddingValue") or 0),
        rows=int(dataset.Rows),
        columns=int(dataset.Columns),
        segments=tuple(
            SegmentInfo(int(item.SegmentNumber), str(item.get("SegmentLabel") or "").strip())
            for item in dataset.SegmentSequence
            if int(item.SegmentNumber)
        ),
        frames=tuple(_frame(item, shared, kind) for item in frames),
        frame_of_reference_uid=text_uid(dataset, "FrameOfReferenceUID"),
        series=_series(dataset),
        bit_stream=_bit_stream(dataset, parsed),
    )


def _bit_stream(dataset: Dataset, parsed: ParsedFile) -> tuple[int, int] | None:
    if parsed.pixels is None:
        raise EOFError
    syntax = parsed.transfer_syntax
    plain = not syntax.is_encapsulated and syntax.is_little_endian and int(dataset.BitsAllocated) == 1
    return parsed.pixels[1:] if plain else None


def _frame(item: Dataset, shared: Dataset, kind: str) -> SegmentFrame:
    identification = _group(item, shared, "SegmentIdentificationSequence")
    return SegmentFrame(
        segment=0 if kind == "LABELMAP" else int(identification.ReferencedSegmentNumber),
        position=_floats(_group(item, shared, "PlanePositionSequence"), "ImagePositionPatient", 3),
        orientation=_floats(_group(item, shared, "PlaneOrientationSequence"), "ImageOrientationPatient", 6),
        spacing=_floats(_group(item, shared, "PixelMeasuresSequence"), "PixelSpacing", 2),
        images=tuple(_images(item) or _images(shared)),
    )


def _group(item: Dataset, shared: Dataset, keyword: str) -> Dataset:
    """A functional group of one frame, or that of all frames."""
    groups = list(item.get(keyword) or shared.get(keyword) or ())
    return groups[0] if groups else Dataset()


def _floats(group: Dataset, keyword: str, count: int) -> tuple[float, ...] | None:
    values = tuple(float(value) for value in group.get(keyword) or ())
    if values and len(values) != count:
        raise ValueError
    return values or None


def _images(item: Dataset) -> list[tuple[str, int]]:
    """Derivation Image (PS3.3 C.7.6.16.2.6)."""
    images: list[tuple[str, int]] = []
    for derivation in item.get("DerivationImageSequence") or ():
        for source in derivation.get("SourceImageSequence") or ():
            numbers = source.get("ReferencedFrameNumber") or 1
            uid = text_uid(source, "ReferencedSOPInstanceUID")
            images += [
                (uid, int(number) - 1) for number in ([numbers] if isinstance(numbers, int) else numbers)
            ]
    return images


def _series(dataset: Dataset) -> dict[str, frozenset[str]]:
    """Common Instance Reference (PS3.3 C.12.2): SOP Instance UIDs by Series Instance UID."""
    series: dict[str, frozenset[str]] = {}
    for item in dataset.get("ReferencedSeriesSequence") or ():
        uid, images = text_uid(item, "SeriesInstanceUID"), item.get("ReferencedInstanceSequence") or ()
        instances = frozenset(text_uid(image, "ReferencedSOPInstanceUID") for image in images) - {""}
        series[uid] = series.get(uid, frozenset()) | instances
    return series
