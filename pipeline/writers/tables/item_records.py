"""The records of a batch: what is to be done, what was done, what failed and what was left out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from pyraseg.transforms.errors import PyrasegError
from pyraseg.transforms.records import SourceRef

__all__ = ["Failure", "FrameRecord", "Item", "ItemRecord", "LeftOut"]


@dataclass(frozen=True)
class Item:
    """One unit of work: a single frame, a cine, or a series of slices.

    Attributes:
        case: its hashed name, which its outputs go by.
        source: the file and its identity; of a series its first file by name.
        file: the path of that file relative to its INPUT, POSIX; may hold any character.
        size, modified_ns: of the file when it was found; another value makes the item due again. Of a series
            the sums over its files, which change with any of them.
        notes: what was repaired or is worth knowing, found at discovery.
        paths: all files of a series; empty for a file by itself.
        slices: how many images these files hold.
    """

    case: str
    source: SourceRef
    file: str
    size: int
    modified_ns: int
    notes: tuple[str, ...] = ()
    paths: tuple[str, ...] = ()
    slices: int = 0

    @property
    def frames(self) -> int:
        """Frames of a file, slices of a series."""
        return self.slices if self.paths else self.source.number_of_frames

    @property
    def key(self) -> str:
        """What tells it from others on every machine: its UID, or its file where it has none."""
        source = self.source
        return (source.series_instance_uid if self.paths else source.sop_instance_uid) or self.file


@dataclass(frozen=True)
class LeftOut:
    """A file that this bundle does not take, and why; no failure."""

    file: str
    reason: str


@dataclass(frozen=True)
class Failure:
    """A file that should have given a result and did not.

    Attributes:
        file: as ``Item.file``.
        case: the item's hashed name; empty where the file could not be read far enough to be an item.
        reason: what was found, in words.
        remedy: what to do.
    """

    file: str
    reason: str
    remedy: str
    case: str = ""

    @classmethod
    def of(cls, error: PyrasegError, *, file: str, case: str = "") -> Failure:
        """The failure that an error makes of a file; without the case that some errors name at their end, so
        that files that fail alike have one reason."""
        found = error.found.removesuffix(f", in case {case}")
        return cls(file, f"wanted {error.wanted}, found {found}", error.remedy, case)


@dataclass(frozen=True)
class FrameRecord:
    """One frame of an item.

    Attributes:
        frame: counted from 0, as in ``cine.dcm#frame_index=3``.
        values: the quantities by name, None where absent.
        reasons: why a quantity is absent, by name; only those that are.
        confidence: the mean over the foreground of the winning class's probability; None without foreground.
        flags: review flags of this frame.
    """

    frame: int
    values: Mapping[str, float | None]
    reasons: Mapping[str, str] = field(default_factory=dict)
    confidence: float | None = None
    flags: tuple[str, ...] = ()


@dataclass(frozen=True)
class ItemRecord:
    """What ``item.json`` in an item's output folder holds: tables and the report are made from these alone.

    Attributes:
        case, file: as ``Item``.
        frames: how many, of a volume its slices; ``rows``, ``columns``: pixels of a frame.
        spacing_mm: (row, column), None without calibration; ``spacing_source``: where it is from, "none"
            without.
        key_frame: counted from 0; the frame that stands for the item.
        units: the unit of each quantity by name (UCUM), in the order of the bundle's declaration.
        rows_of_frames: every frame's quantities; of a volume one row, for all of it.
        flags: review flags of the item, such as "low confidence" or "no kidney found".
        notes: repairs and warnings.
        seconds: processor time and wall time that the item took.
        outputs: the names of the files in the item's folder.
        identity: patient_name, patient_id, birth_date; None unless they were asked for.
        fingerprint: of weights, bundle and options; another one makes the item due again.
        size, modified_ns: of the input.
        slice_mm: of a volume, from slice to slice.
        searched_mm: of a volume the box that was searched where it was not all of it: x from, to, y from, to,
            z from, to, in DICOM's patient coordinates.
    """

    case: str
    file: str
    study_instance_uid: str
    series_instance_uid: str
    sop_instance_uid: str
    frames: int
    rows: int
    columns: int
    spacing_mm: tuple[float, float] | None
    spacing_source: str
    key_frame: int
    units: Mapping[str, str]
    rows_of_frames: tuple[FrameRecord, ...]
    flags: tuple[str, ...]
    notes: tuple[str, ...]
    seconds: float
    outputs: tuple[str, ...]
    fingerprint: str
    size: int
    modified_ns: int
    identity: Mapping[str, str] | None = None
    slice_mm: float | None = None
    searched_mm: tuple[float, ...] | None = None

    @property
    def key(self) -> FrameRecord:
        """The key frame's record."""
        return self.rows_of_frames[self.key_frame]

    def to_json(self) -> dict[str, Any]:
        """Plain values for ``item.json``."""
        return asdict(self)

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> ItemRecord:
        """Undo ``to_json`` after a round trip through JSON.

        Raises:
            KeyError, TypeError: the content is another's.
        """
        frames = (FrameRecord(**{**row, "flags": tuple(row["flags"])}) for row in content["rows_of_frames"])
        lists = ("flags", "notes", "outputs", "spacing_mm", "searched_mm")
        tuples = {name: tuple(content[name]) for name in lists if content.get(name) is not None}
        return cls(**{**content, **tuples, "rows_of_frames": tuple(frames)})
