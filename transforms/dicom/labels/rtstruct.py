"""RT Structure Sets: the regions of interest of a file, and their contours as drawn."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from pydicom import Dataset
from pydicom.dataelem import RawDataElement
from pydicom.uid import RTStructureSetStorage

from pyraseg.transforms.dicom.files.header import read_attributes
from pyraseg.transforms.dicom.files.objects import parse_object
from pyraseg.transforms.dicom.files.values import (
    BrokenFile,
    foreign,
    items,
    number,
    numbers,
    readable,
    text,
    texts,
    whole,
)
from pyraseg.transforms.dicom.labels.seg import instances_by_series
from pyraseg.transforms.errors import InputError

__all__ = ["Contour", "Roi", "StructureSet", "read_rtstruct"]

NUMBERS: dict[str, Any] = {"wanted": "contours of x, y and z", "remedy": "Export the structure set again."}


@dataclass(frozen=True)
class Contour:
    """One contour (PS3.3 C.8.8.6).

    Attributes:
        kind: Contour Geometric Type (3006,0042), such as "CLOSED_PLANAR".
        points: (N, 3) LPS mm.
        images: the SOP Instance UID and frame index, from 0, of the images that it was drawn on.
        shifted: whether a Contour Offset Vector (3006,0045) other than 0 applies to it.
    """

    kind: str
    points: np.ndarray = field(repr=False, compare=False)
    images: tuple[tuple[str, int], ...] = ()
    shifted: bool = False


@dataclass(frozen=True)
class Roi:
    """A region of interest.

    Attributes:
        number: ROI Number (3006,0022).
        name: ROI Name (3006,0026), empty where it has none. It may name a person: not for logs.
        frame_of_reference_uid: (3006,0024), empty where it has none.
        colour: RGB, 0 to 255, of ROI Display Color (3006,002A); None where it has none.
        contours: in the file's order.
    """

    number: int
    name: str = field(repr=False)
    frame_of_reference_uid: str
    colour: tuple[int, int, int] | None
    contours: tuple[Contour, ...]


@dataclass(frozen=True)
class StructureSet:
    """The content of an RT Structure Set, in patient coordinates, on no grid yet.

    Attributes:
        path: the file, for errors.
        rois: in the order of Structure Set ROI Sequence (3006,0020).
        series: the images that it refers to (3006,0010): the SOP Instance UIDs of each Series Instance UID,
            which may be empty. Images that single contours name are not included.
    """

    path: str = field(repr=False)
    rois: tuple[Roi, ...]
    series: Mapping[str, frozenset[str]]


def read_rtstruct(path: str | Path) -> StructureSet:
    """Read an RT Structure Set.

    Raises:
        InputError: not DICOM, another kind of object, cut off, or contours that are not 3D points.
    """
    wanted = "an RT Structure Set"
    parsed = parse_object(path, {RTStructureSetStorage}, wanted=wanted, modality="RTSTRUCT")
    with readable(wanted, path=parsed.path), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pydicom's warnings quote values, which it converts late
        return _structure_set(read_attributes(parsed.path), parsed.path)


def _structure_set(dataset: Dataset, path: Path) -> StructureSet:
    if "ROIContourSequence" not in dataset or "StructureSetROISequence" not in dataset:  # both of type 1
        raise BrokenFile("a file that is cut off")
    drawn: dict[int, Dataset] = {}
    for item in items(dataset, "ROIContourSequence"):
        number = whole(item, "ReferencedROINumber", required=True)
        if drawn.setdefault(number, item) is not item:
            raise _ambiguous(f"ROI {number} drawn twice", path)
    rois = tuple(_roi(item, drawn, path) for item in items(dataset, "StructureSetROISequence"))
    if len({roi.number for roi in rois}) < len(rois):
        raise _ambiguous("a ROI Number (3006,0022) that two of them have", path)
    series = (
        series
        for frame in items(dataset, "ReferencedFrameOfReferenceSequence")
        for study in items(frame, "RTReferencedStudySequence")
        for series in items(study, "RTReferencedSeriesSequence")
    )
    return StructureSet(str(path), rois, instances_by_series(series, "ContourImageSequence"))


def _ambiguous(found: str, path: Path) -> InputError:
    remedy = "Number the regions anew in the program that drew them."
    return InputError("regions of interest with numbers of their own", found=found, remedy=remedy, path=path)


def _roi(item: Dataset, drawn: dict[int, Dataset], path: Path) -> Roi:
    number = whole(item, "ROINumber", required=True)
    contours = drawn.get(number, Dataset())
    colour = [int(part) for part in texts(contours, "ROIDisplayColor") if part.isdigit()]
    return Roi(
        number=number,
        name=text(item, "ROIName"),
        frame_of_reference_uid=text(item, "ReferencedFrameOfReferenceUID"),
        colour=(colour[0], colour[1], colour[2]) if len(colour) == 3 else None,
        contours=tuple(_contour(contour, path) for contour in items(contours, "ContourSequence")),
    )


def _contour(item: Dataset, path: Path) -> Contour:
    values = _points(item, path)
    count = number(item, "NumberOfContourPoints")
    if len(values) % 3 or count not in (None, len(values) // 3):
        points = "an unknown number of" if count is None else f"{count:g}"
        found = f"{len(values)} numbers for {points} points"
        raise InputError(found=found, path=path, **NUMBERS)
    return Contour(
        kind=text(item, "ContourGeometricType").upper(),
        points=values.reshape(-1, 3),
        images=tuple(
            (
                text(image, "ReferencedSOPInstanceUID"),
                max(0, (whole(image, "ReferencedFrameNumber") or 1) - 1),
            )
            for image in items(item, "ContourImageSequence")
        ),
        shifted=any(numbers(item, "ContourOffsetVector", 3) or ()),
    )


def _points(item: Dataset, path: Path) -> np.ndarray:
    """Contour Data (3006,0050), straight from the bytes: a hundred times as fast as pydicom's numbers."""
    if "ContourData" not in item:
        return np.empty(0)
    with foreign():
        element = item.get_item("ContourData")
        if isinstance(element, RawDataElement):
            text = bytes(element.value or b"").rstrip(b"\0 ")
            values = np.array(text.split(b"\\") if text else [], np.bytes_).astype(np.float64)
        else:
            values = np.array(element.value or [], np.float64).reshape(-1)
    if not np.isfinite(values).all():
        raise InputError(found="values that are no numbers", path=path, **NUMBERS)
    return values
