"""The records of a batch: items, results, failures and files left out."""

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
        case: its hashed name, which names its outputs.
        source: the file and its identity; of a series its first file by name.
        file: the POSIX path of that file relative to its INPUT; may hold any character.
        size, modified_ns: of the file, of a series summed over its files; a change makes the item due again.
        notes: repairs and remarks of the discovery.
        paths: all files of a series; empty for a single file.
        slices: how many images these files hold.
        stamps: of each file of DICOM (`SourceRef.stamp`); what is read must be among them.
    """

    case: str
    source: SourceRef
    file: str
    size: int
    modified_ns: int
    notes: tuple[str, ...] = ()
    paths: tuple[str, ...] = ()
    slices: int = 0
    stamps: tuple[str, ...] = field(default=(), repr=False)

    @property
    def files(self) -> tuple[str, ...]:
        """The paths of all its files."""
        return self.paths or (self.source.path,)

    @property
    def frames(self) -> int:
        """Frames of a file, or slices of a series."""
        return self.slices if self.paths else self.source.number_of_frames

    @property
    def key(self) -> str:
        """Its identity on every machine: its UID, or its file where it has none."""
        source = self.source
        return (source.series_instance_uid if self.paths else source.sop_instance_uid) or self.file


@dataclass(frozen=True)
class LeftOut:
    """A file that the bundle does not accept, and why; not a failure."""

    file: str
    reason: str


@dataclass(frozen=True)
class Failure:
    """A file that should have given a result and did not.

    Attributes:
        file: as ``Item.file``.
        case: the item's hashed name; empty where the file is too broken to be an item.
        reason: what was found, in words.
        remedy: what to do.
    """

    file: str
    reason: str
    remedy: str
    case: str = ""

    @classmethod
    def of(cls, error: PyrasegError, *, file: str, case: str = "") -> Failure:
        """The failure of an error; its reason lacks the case that some messages end with, for grouping."""
        found = error.found.removesuffix(f", in case {case}")
        return cls(file, f"wanted {error.wanted}, found {found}", error.remedy, case)


@dataclass(frozen=True)
class FrameRecord:
    """One frame of an item.

    Attributes:
        frame: counted from 0, as in ``cine.dcm#frame_index=3``.
        values: the quantities by name, None where absent.
        reasons: why quantities are absent, by name.
        confidence: the mean probability of the winning class over the foreground; None without foreground.
        flags: review flags of this frame.
        unlike: its distance from the training data over the distance that is flagged; None where unknown.
        expected_dice: of each class, from 0 to 1; empty where unknown.
        intervals: (low, high) of the quantities that have one, by name.
    """

    frame: int
    values: Mapping[str, float | None]
    reasons: Mapping[str, str] = field(default_factory=dict)
    confidence: float | None = None
    flags: tuple[str, ...] = ()
    unlike: float | None = None
    expected_dice: Mapping[str, float] = field(default_factory=dict)
    intervals: Mapping[str, tuple[float, float]] = field(default_factory=dict)

    @property
    def quality(self) -> float | None:
        """The least expected Dice of a class; None where unknown."""
        return min(self.expected_dice.values(), default=None)


@dataclass(frozen=True)
class ItemRecord:
    """The content of an item's ``item.json``, from which tables and the report are made.

    Attributes:
        case, file: as ``Item``.
        frames: how many frames, or slices of a volume; ``rows``, ``columns``: pixels of a frame.
        spacing_mm: (row, column), None without calibration; ``spacing_source``: its origin or "none".
        key_frame: counted from 0.
        units: the unit of each quantity by name (UCUM), in the order of the bundle's declaration.
        rows_of_frames: the quantities of every frame; one row for a volume.
        flags: review flags of the item, such as "low confidence" or "no kidney found".
        notes: repairs and warnings.
        seconds: processor time and wall time that the item took.
        outputs: the names of the files in the item's folder.
        identity: patient_name, patient_id, birth_date; None unless asked for.
        fingerprint: of weights, bundle and options; a new one makes the item due again.
        size, modified_ns: of the input.
        slice_mm: of a volume, between slices.
        searched_mm: of a volume searched in part, the box: x from, to, y from, to, z from, to, in LPS.
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
        """Undo ``to_json`` after JSON.

        Raises:
            KeyError, TypeError: the content has another form.
        """
        frames = (FrameRecord(**{**row, "flags": tuple(row["flags"])}) for row in content["rows_of_frames"])
        lists = ("flags", "notes", "outputs", "spacing_mm", "searched_mm")
        tuples = {name: tuple(content[name]) for name in lists if content.get(name) is not None}
        return cls(**{**content, **tuples, "rows_of_frames": tuple(frames)})
