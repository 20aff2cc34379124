"""Where entries come from: a table, or a folder of images and one of masks."""

from __future__ import annotations

import csv
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from pyraseg.pipeline.datalist.groups import Grouping
from pyraseg.pipeline.datalist.items import Collection, Entry
from pyraseg.pipeline.datalist.rules import nearest
from pyraseg.pipeline.datalist.sources.folders import pair_folders
from pyraseg.transforms.errors import DatalistError

__all__ = ["FolderSource", "Source", "TableSource"]


class Source(Protocol):
    """Finds images with their masks and groups."""

    def collect(self) -> Collection: ...


@dataclass(frozen=True)
class FolderSource:
    """Images (files, or folders of series) and masks with the same stem in the same relative folder.

    Attributes:
        images, labels: the folders; one and the same with a ``label_suffix``.
        grouping: what the split keeps together.
        dataset_dir: the folder that the datalist's paths are relative to; the deepest that holds both where
            None.
        image_suffix, label_suffix: what stands in the stems of images ("_image") and of masks ("_mask")
            behind what they share.
    """

    images: str | Path
    labels: str | Path
    grouping: Grouping
    dataset_dir: str | Path | None = None
    label_suffix: str = ""
    image_suffix: str = ""

    def collect(self) -> Collection:
        """Raises DatalistError: a folder is missing, stems are ambiguous, or nothing matches."""
        images, labels = (Path(os.path.abspath(folder)) for folder in (self.images, self.labels))
        common = os.path.commonpath([images, labels])
        root = Path(os.path.abspath(self.dataset_dir)) if self.dataset_dir is not None else Path(common)
        suffixes = {"image_suffix": self.image_suffix, "label_suffix": self.label_suffix}
        found = pair_folders(images, labels, root=root, **suffixes)
        return self.grouping.apply(found)


@dataclass(frozen=True)
class TableSource:
    """A CSV (or, by its ending, TSV) file with a row for each image; paths are relative to the table's
    folder.

    Attributes:
        image, label, group: names of the columns with the paths and with what the split keeps together.
        category: the column with a class of the whole image; None without one.
    """

    table: str | Path
    image: str = "image"
    label: str = "label"
    group: str = "group"
    category: str | None = None

    def collect(self) -> Collection:
        """Raises DatalistError: the table is missing, no table, or lacks a column."""
        root = Path(os.path.abspath(self.table)).parent
        entries: list[Entry] = []
        left_out: list[tuple[str, str]] = []
        for number, row in enumerate(self._rows(), start=2):
            entry = self._entry(row, root)
            reason = _missing(entry, root)
            if reason:
                left_out.append((entry.image or f"row {number}", reason))
            else:
                entries.append(entry)
        return Collection(root, tuple(entries), tuple(left_out))

    def _rows(self) -> list[dict[str, str]]:
        delimiter = "\t" if str(self.table).lower().endswith((".tsv", ".tab")) else ","
        try:
            with open(self.table, newline="", encoding="utf-8-sig") as file:
                reader = csv.DictReader(file, delimiter=delimiter)
                rows, columns = list(reader), list(reader.fieldnames or [])
        except (OSError, UnicodeDecodeError, csv.Error) as error:
            remedy = "Check the path; the table is CSV in UTF-8."
            found = "no such file" if isinstance(error, FileNotFoundError) else "one that cannot be read"
            raise DatalistError("a table of images", found=found, remedy=remedy, path=self.table) from error
        for option in ("image", "label", "group", "category"):
            self._check_column(option, columns)
        return rows

    def _check_column(self, option: str, columns: list[str]) -> None:
        name = getattr(self, option)
        if name is not None and name not in columns:
            option = "class" if option == "category" else option
            raise DatalistError(
                f'a table with the column "{name}"',
                found=f"the columns {', '.join(columns) or 'of an empty file'}",
                remedy=f"{nearest(name, columns)} Name the column with --{option}.".strip(),
                path=self.table,
            )

    def _entry(self, row: Mapping[str, str], root: Path) -> Entry:
        image, label = (_relative(row[column], root) for column in (self.image, self.label))
        category = (row[self.category] or "").strip() or None if self.category else None
        return Entry(image, label, group=(row[self.group] or "").strip(), category=category)


def _relative(cell: str | None, root: Path) -> str:
    text = (cell or "").strip()
    if not text:
        return ""
    return Path(os.path.relpath(os.path.join(root, text), root)).as_posix()


def _missing(entry: Entry, root: Path) -> str:
    for path, kind in ((entry.image, "image"), (entry.label, "mask")):
        if not path:
            return f"no {kind} in the table"
        if path.startswith("../"):
            return f"the {kind} lies outside the table's folder"
        if not (root / path).is_file() and not (kind == "image" and (root / path).is_dir()):
            return f"no such {kind} file"
    return "" if entry.group else "no group in the table"
