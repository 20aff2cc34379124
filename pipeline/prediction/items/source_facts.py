"""What results say of their source beyond its pixels: the study, the frames' time and, if asked for, the
patient."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydicom import dcmread

from pyraseg.transforms.dicom.files.header import malformed
from pyraseg.transforms.records import SourceRef

__all__ = ["SourceFacts", "source_facts"]

UID, RATES = "StudyInstanceUID", ("CineRate", "RecommendedDisplayFrameRate")
IDENTITY = {"patient_name": "PatientName", "patient_id": "PatientID", "birth_date": "PatientBirthDate"}


@dataclass(frozen=True)
class SourceFacts:
    """Attributes of one file.

    Attributes:
        study_instance_uid: empty where the file has none.
        frame_time_ms: from frame to frame, the mean where it varies; None where the file does not say.
        identity: of the patient; None unless it was asked for.
    """

    study_instance_uid: str
    frame_time_ms: float | None
    identity: Mapping[str, str] | None


def source_facts(source: SourceRef, *, identify: bool) -> SourceFacts:
    """Read them from the header; what identifies the patient is not even read unless ``identify``.

    Raises:
        InputError: the header cannot be read.
    """
    tags: list[Any] = [UID, "FrameTime", "FrameTimeVector", *RATES, *(IDENTITY.values() if identify else ())]
    wanted, remedy = "a readable DICOM header", "Export the file again."
    path: Any = source.path
    with malformed(wanted, path=path, found="a header that is cut off or broken", remedy=remedy):
        dataset = dcmread(path, stop_before_pixels=True, specific_tags=tags)
        identity = {name: str(dataset.get(tag) or "") for name, tag in IDENTITY.items()} if identify else None
        return SourceFacts(str(dataset.get(UID) or ""), _frame_time(dataset), identity)


def _frame_time(dataset: Any) -> float | None:
    """Frame Time (0018,1063), else the mean of Frame Time Vector (0018,1065), else a rate (0018,0040),
    (0008,2144)."""
    steps = _numbers(dataset, "FrameTimeVector")[1:]  # the first is the time before the first frame
    times = _numbers(dataset, "FrameTime")[:1] + ([sum(steps) / len(steps)] if steps else [])
    rates = (rate for tag in RATES for rate in _numbers(dataset, tag)[:1] if rate > 0)
    return next((time for time in (*times, *(1000 / rate for rate in rates)) if 0 < time < math.inf), None)


def _numbers(dataset: Any, tag: str) -> list[float]:
    """The values of an attribute; none where it is not there or no number, which costs that attribute
    alone."""
    try:
        value = dataset.get(tag)
        values = [value] if isinstance(value, str | int | float) else value
        return [float(each) for each in values or ()]
    except (TypeError, ValueError, OverflowError):
        return []
