"""The header of an item's file, which a worker reads once for the frame reader and the writers."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pydicom import Dataset

from pyraseg.pipeline.writers.dicom.source import SOURCE_TAGS, SourceHeader, source_header
from pyraseg.transforms.dicom.calibration import tissue_regions
from pyraseg.transforms.dicom.files.header import ImageHeader, image_header, malformed, parse_file
from pyraseg.transforms.dicom.files.opening import replaced
from pyraseg.transforms.records import SourceRef

__all__ = ["ItemHeader", "read_item_header", "spacing_of_mask"]

TIMES, RATES = ("FrameTime", "FrameTimeVector"), ("CineRate", "RecommendedDisplayFrameRate")
IDENTITY = {"patient_name": "PatientName", "patient_id": "PatientID", "birth_date": "PatientBirthDate"}


@dataclass(frozen=True)
class ItemHeader:
    """What results need from one file's header.

    Discovery reads every header too, but only sends on what selects and names an item: an `ImageHeader` in
    each of ten thousand items would fill the memory, and the patient's attributes must not travel between
    processes. So a worker reads the header once more.

    Attributes:
        source: what written DICOM objects copy; None where none is written.
        frame_time_ms: between frames, the mean where it varies; None where unknown.
        identity: of the patient, for tables; None unless asked for.
    """

    source: SourceHeader | None = None
    frame_time_ms: float | None = None
    identity: Mapping[str, str] | None = None


def read_item_header(source: SourceRef, *, dicom: bool, identify: bool) -> tuple[ImageHeader, ItemHeader]:
    """Read a file's header, for the pixel reader and for results.

    Attributes that identify the patient are only read where an option needs them.

    Args:
        dicom: whether written objects refer to the file.
        identify: whether tables name the patient.

    Raises:
        InputError: the header cannot be read, or lacks what written objects are filed by, or is another's
            than ``source``.
    """
    tags = [*TIMES, *RATES, *(SOURCE_TAGS if dicom else ()), *(IDENTITY.values() if identify else ())]
    parsed = parse_file(source.path, raw=tags)
    if parsed.stamp != source.stamp:
        raise replaced(source.path)
    written = source_header(parsed.raw, source) if dicom else None  # first: it needs the values as stored
    identity = _identity(parsed.raw, source) if identify else None
    return image_header(parsed), ItemHeader(written, _frame_time(parsed.raw), identity)


def _identity(dataset: Dataset, source: SourceRef) -> dict[str, str]:
    found, remedy = "a header that is cut off or broken", "Export the file again."
    with malformed("a readable DICOM header", path=Path(source.path), found=found, remedy=remedy):
        return {name: str(dataset.get(tag) or "") for name, tag in IDENTITY.items()}


def _frame_time(dataset: Dataset) -> float | None:
    """Frame Time (0018,1063), else the mean of its Vector (0018,1065), else by (0018,0040), (0008,2144)."""
    steps = _numbers(dataset, "FrameTimeVector")[1:]  # the first value is the time before the first frame
    times = _numbers(dataset, "FrameTime")[:1] + ([sum(steps) / len(steps)] if steps else [])
    rates = (rate for tag in RATES for rate in _numbers(dataset, tag)[:1] if rate > 0)
    return next((time for time in (*times, *(1000 / rate for rate in rates)) if 0 < time < math.inf), None)


def _numbers(dataset: Dataset, tag: str) -> list[float]:
    """The values of an attribute; none where it is absent or no number."""
    try:
        value = dataset.get(tag)
        values = [value] if isinstance(value, str | int | float) else value
        return [float(each) for each in values or ()]
    except (TypeError, ValueError, OverflowError):
        return []


def spacing_of_mask(header: ImageHeader, labels: np.ndarray) -> tuple[float, float] | None:
    """The spacing of a mask where an image's regions disagree: that of the region that holds all of it.

    Args:
        labels: (F, H, W) on the image's grid.

    Returns:
        (row, column) in mm; None where no region, or several that disagree, hold the foreground.
    """
    rows = np.flatnonzero(labels.any(axis=(0, 2)))
    columns = np.flatnonzero(labels.any(axis=(0, 1)))
    if not len(rows):
        return None
    spacings = set()
    for region in tissue_regions(header.dataset, header.rows, header.columns):
        top, left, bottom, right = region.box
        if top <= rows[0] and rows[-1] < bottom and left <= columns[0] and columns[-1] < right:
            spacings.add(region.spacing_mm)
    return spacings.pop() if len(spacings) == 1 else None
