"""The records that readers, transforms and writers share: frozen, without I/O."""

from __future__ import annotations

from dataclasses import dataclass, field

__all__ = ["BACKGROUND", "Code", "Quantity", "Segment", "SourceRef"]

BACKGROUND = "background"  # a key of items: the image shows none of the classes, and has no label


@dataclass(frozen=True)
class Code:
    """A coded concept: value, coding scheme designator, meaning (DICOM PS3.3 section 8.8)."""

    value: str
    scheme: str
    meaning: str


@dataclass(frozen=True)
class Segment:
    """One class of a label set.

    Attributes:
        value: the class's value in a label map; 0 is background.
        name: the class's name in configs, tables and reports.
        colour: RGB, 0 to 255, for overlays.
        category, type: the codes for DICOM SEG and SR; None for background and classes without codes.
    """

    value: int
    name: str
    colour: tuple[int, int, int]
    category: Code | None = None
    type: Code | None = None


@dataclass(frozen=True)
class Quantity:
    """One measured quantity.

    Attributes:
        name: as the bundle declares it.
        value: None where it is absent; never inf or NaN.
        unit: UCUM, such as "mm2", "mm", "%" or "{ratio}".
        reason: why it is absent, else empty.
        segments: the names of the measured classes.
        code: the concept for a structured report, if declared.
        derivation: from the concept's values, such as their mean; None where ``code`` says it all.
        interval: (low, high), where the true value is likely to be; None where unknown.
        ends: of a length in a frame, its two (row, column) in pixels, whose centres are whole numbers.
    """

    name: str
    value: float | None
    unit: str
    reason: str = ""
    segments: tuple[str, ...] = ()
    code: Code | None = None
    derivation: Code | None = None
    ends: tuple[tuple[float, float], ...] = field(default=(), compare=False)
    interval: tuple[float, float] | None = None


@dataclass(frozen=True)
class SourceRef:
    """The source of one 2D frame or one series, by its DICOM header.

    Attributes:
        path: the file.
        sop_instance_uid, sop_class_uid, series_instance_uid: from the data set, else the file meta group
            ((0002,0003), (0002,0002)), else an empty string.
        modality: (0008,0060), for example "US".
        transfer_syntax_uid: (0002,0010).
        number_of_frames: 1 for a single frame; more for a cine, whatever the SOP class says.
        rows, columns: the size of a frame in pixels.
        study_instance_uid: an empty string if absent.
        stamp: a hash of the file's size and time, its UIDs and its patient (`ParsedFile.stamp`).
    """

    path: str
    sop_instance_uid: str
    sop_class_uid: str
    series_instance_uid: str
    modality: str
    transfer_syntax_uid: str
    number_of_frames: int
    rows: int
    columns: int
    study_instance_uid: str = ""
    stamp: str = field(default="", repr=False, compare=False)
