"""A table as text, which the page and Markdown show alike."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Table"]


@dataclass(frozen=True)
class Table:
    """A table: its columns, of which the first ``texts`` hold words and the others numbers, and a note
    below."""

    name: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    texts: int = 1
    note: str = ""
