"""Images, masks and groups from a table."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pyraseg.pipeline.datalist.items import Collection, Entry
from pyraseg.pipeline.datalist.notes import alike_names
from pyraseg.pipeline.datalist.rules import nearest
from pyraseg.pipeline.utils.documents import DocumentError, read_rows
from pyraseg.transforms.errors import DatalistError

__all__ = ["TableSource"]


@dataclass(frozen=True)
class TableSource:
    """A CSV or TSV file (by its ending) with one row per image; paths are relative to its folder.

    Attributes:
        image, label, group: the columns of the paths and of the split's unit.
        category: the column with a class of the whole image; None without one.
    """

    table: str | Path
    image: str = "image"
    label: str = "label"
    group: str = "group"
    category: str | None = None

    def collect(self) -> Collection:
        """Read the table; raises DatalistError if it is missing, malformed, or lacks a column."""
        root = Path(os.path.abspath(self.table)).parent
        entries: list[Entry] = []
        left_out: list[tuple[str, str]] = []
        for number, row in enumerate(self._rows(), start=2):
            entry = self._entry(row, root)
            if reason := _missing(entry, root):
                left_out.append((entry.image or f"row {number}", reason))
            else:
                entries.append(entry)
        alike = tuple(map(tuple, alike_names(entry.group for entry in entries)))
        return Collection(root, tuple(entries), tuple(left_out), alike)

    def _rows(self) -> list[dict[str, str]]:
        delimiter = "\t" if str(self.table).lower().endswith((".tsv", ".tab")) else ","
        try:
            rows, columns = read_rows(self.table, delimiter=delimiter)
        except (OSError, DocumentError) as error:
            remedy = "Check the path; the table is CSV in UTF-8."
            reason = error.strerror if isinstance(error, OSError) else str(error)
            missing = isinstance(error, FileNotFoundError)
            found = "no such file" if missing else f"one that cannot be read ({reason})"
            raise DatalistError("a table of images", found=found, remedy=remedy, path=self.table) from error
        options = {"image": self.image, "label": self.label, "group": self.group, "class": self.category}
        for option, name in options.items():
            if name is not None and name not in columns:
                found = f"the columns {', '.join(columns) or 'of an empty file'}"
                remedy = f"{nearest(name, columns)} Name the column with --{option}.".strip()
                wanted = f'a table with the column "{name}"'
                raise DatalistError(wanted, found=found, remedy=remedy, path=self.table)
        return rows

    def _entry(self, row: Mapping[str, str], root: Path) -> Entry:
        image, label = (_relative(row[column], root) for column in (self.image, self.label))
        category = (row[self.category] or "").strip() or None if self.category else None
        return Entry(image, label, group=(row[self.group] or "").strip(), category=category)


def _relative(cell: str | None, root: Path) -> str:
    text = (cell or "").strip()
    return Path(os.path.relpath(os.path.join(root, text), root)).as_posix() if text else ""


def _missing(entry: Entry, root: Path) -> str:
    for path, kind in ((entry.image, "image"), (entry.label, "mask")):
        if not path:
            return f"no {kind} in the table"
        if path.startswith("../"):
            return f"the {kind} lies outside the table's folder"
        if not os.path.isfile(root / path) and not (kind == "image" and os.path.isdir(root / path)):
            return f"no such {kind} file"
    return "" if entry.group else "no group in the table"
