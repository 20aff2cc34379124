"""Rows and pictures of items, kept on the disk until the page has its head, so that memory holds one at a
time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, Any

from jinja2.utils import htmlsafe_json_dumps
from markupsafe import Markup

__all__ = ["Spool", "open_spool", "script_json"]


def script_json(value: Any) -> Markup:
    """JSON in ASCII that may stand within a script element: no ``<``, ``>``, ``&`` or ``'``."""
    return htmlsafe_json_dumps(value, allow_nan=False, separators=(",", ":"))


@dataclass(frozen=True)
class Spool:
    """Two files, one line an item each: rows, and pictures."""

    row_file: IO[str]
    picture_file: IO[str]

    def add(self, row: Any, picture: str | None) -> None:
        """Keep an item's row and the data URI of its picture."""
        self.row_file.write(f"{script_json(row)}\n")
        self.picture_file.write(f"{script_json(picture)}\n")

    def rows(self) -> Iterator[Markup]:
        """Each item's row as JSON, in the order of `add`."""
        return _lines(self.row_file)

    def pictures(self) -> Iterator[Markup]:
        """Each item's picture as JSON, in the order of `add`."""
        return _lines(self.picture_file)


@contextmanager
def open_spool(folder: Path) -> Iterator[Spool]:
    """A spool in ``folder``, in files without a name: the system takes them back however the block ends."""
    form: dict[str, Any] = {"mode": "w+", "dir": folder, "encoding": "ascii", "newline": "\n"}
    with TemporaryFile(**form) as rows, TemporaryFile(**form) as pictures:
        yield Spool(rows, pictures)


def _lines(file: IO[str]) -> Iterator[Markup]:
    file.seek(0)
    return (Markup(line.rstrip("\n")) for line in file)
