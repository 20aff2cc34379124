"""The records of a datalist: what training reads, and what building one reports."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

__all__ = ["SPLITS", "Collection", "Datalist", "Entry", "Item"]

SPLITS = ("training", "validation", "test")

Item = dict[str, Any]


@dataclass(frozen=True)
class Datalist:
    """A datalist whose every refusal is behind it.

    Attributes:
        training, validation, test: items with absolute ``image`` and ``label`` paths, ``case``, ``group`` and, where
            the list has them, ``class`` and ``fold``. One frame of a cine is ``path#frame_index=3``, counted from 0.
        label_names: the classes in the order of their values; the first is "background".
        label_map: from a value in the mask files to its class.
        digest: SHA-256 over the items of each split, the names and the map, without what depends on the hash key.
        seed: the seed of the split, where one is recorded.
    """

    training: tuple[Item, ...]
    validation: tuple[Item, ...]
    test: tuple[Item, ...]
    label_names: tuple[str, ...]
    label_map: Mapping[int, int] = field(hash=False)
    digest: str
    seed: int | None = None

    @property
    def num_classes(self) -> int:
        """Classes with the background."""
        return len(self.label_names)

    def items(self, split: str) -> list[Item]:
        """Fresh copies of the items of "training", "validation" or "test", safe to hand to a MONAI dataset."""
        return [dict(item) for item in getattr(self, split)]


@dataclass(frozen=True)
class Entry:
    """One image with its mask, before the split; paths are POSIX and relative to the data set's folder.

    Attributes:
        image, label: the files.
        frame, label_frame: which frame of a multi-frame file, from 0; None for the whole file.
        group: what the split keeps together, as the data set names it: it may identify, so its hash is written.
        category: a class of the whole image ("normal"), from the table; None without one.
        values: the values in the mask, known once it was read.
        one_bit: the mask has one bit a pixel: its 1 may have been declared as 255, as which it opens.
    """

    image: str
    label: str
    group: str = ""
    category: str | None = None
    frame: int | None = None
    label_frame: int | None = None
    values: frozenset[int] = frozenset()
    one_bit: bool = False


@dataclass(frozen=True)
class Collection:
    """What a source found: the data set's folder, the entries, and (relative path, reason) for the rest."""

    root: Path
    entries: tuple[Entry, ...]
    left_out: tuple[tuple[str, str], ...] = ()
