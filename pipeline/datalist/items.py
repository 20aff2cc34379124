"""The records of a datalist: the items for training, and the entries before the split."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pyraseg.transforms.io.reading_options import ReadingOptions

__all__ = ["SPLITS", "UNLABELLED", "Collection", "Datalist", "Entry", "Item"]

SPLITS = ("training", "validation", "test")
UNLABELLED = "unlabelled"  # the items of a test split without labels, as published challenges have them

Item = dict[str, Any]


@dataclass(frozen=True)
class Datalist:
    """A datalist that has passed all checks.

    Attributes:
        training, validation, test: items with absolute ``image`` and ``label`` paths, ``case``, ``group``
            and, if the list has them, ``class`` and ``fold``. A training item with ``background`` (true)
            has no label: it shows none of the classes. One frame of a cine is ``path#frame_index=3``,
            counted from 0. The image of a volume is a NIfTI file, a multi-frame file or the folder of one
            series; its label is NIfTI, or a SEG or RTSTRUCT that was drawn on that series.
        label_names: the classes in the order of their values; the first is "background". Where parts of a SEG
            or RTSTRUCT overlap, the later class counts.
        label_map: from the keys in label files to classes. Whole numbers are mask values, and in a SEG or
            RTSTRUCT the numbers of segments and regions; text is the name of a segment or region. All values
            of a mask must be declared; of a SEG or RTSTRUCT the named parts are used, at least one
            (`pyraseg.transforms.dicom.labels.drawn_labels`).
        digest: SHA-256 of items, names and map, independent of the machine's hash key.
        seed: the seed of the split, if recorded.
        reading: how the list's series and labels are read, as it was built and as the bundle says.
        unlabelled: items of the test split without ``label``, which can be predicted only.
    """

    training: tuple[Item, ...]
    validation: tuple[Item, ...]
    test: tuple[Item, ...]
    label_names: tuple[str, ...]
    label_map: Mapping[int | str, int] = field(hash=False)
    digest: str
    seed: int | None = None
    reading: ReadingOptions = field(default_factory=ReadingOptions)
    unlabelled: tuple[Item, ...] = ()

    @property
    def num_classes(self) -> int:
        """The number of classes, background included."""
        return len(self.label_names)

    def items(self, split: str) -> list[Item]:
        """Copies of the items of "training", "validation" or "test", for a MONAI dataset."""
        return [dict(item) for item in getattr(self, split)]


@dataclass(frozen=True)
class Entry:
    """One image with its mask, before the split; paths are POSIX and relative to the data set's folder.

    Attributes:
        image, label: the files; the label is empty for an image that shows none of the classes.
        frame, label_frame: the frame of a multi-frame file, from 0; None for the whole file.
        group: its original name. It may identify, so its hash is written.
        category: a class of the whole image ("normal"), from the table; None without one.
        values: the values in the mask, or the keys of the label map that name a part of it, once it was read.
        one_bit: the mask has one bit per pixel: its 1 opens as 255, and may be declared so.
        notes: what was left out of its label, or taken for something else; an image with strange greys.
    """

    image: str
    label: str
    group: str = ""
    category: str | None = None
    frame: int | None = None
    label_frame: int | None = None
    values: frozenset[int | str] = frozenset()
    one_bit: bool = False
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Collection:
    """The output of a source: the data set's folder, the entries, and (relative path, reason) for others.

    ``alike`` are the names of groups, hashed where they are hashed in the entries, that may be one patient.
    """

    root: Path
    entries: tuple[Entry, ...]
    left_out: tuple[tuple[str, str], ...] = ()
    alike: tuple[tuple[str, ...], ...] = ()
