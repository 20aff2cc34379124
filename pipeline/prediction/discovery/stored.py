"""Many records in little memory: on disk, sorted by a name, in a file that is gone with its process."""

from __future__ import annotations

import pickle
import sqlite3
from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Any, Generic, TypeVar, overload

__all__ = ["FEW", "Stored"]

FEW = 10_000  # so many stay in memory
T = TypeVar("T")


class Stored(Sequence[T], Generic[T]):
    """A sequence in the order of the names given with its records, and of their coming where names are equal.

    SQLite keeps it in a temporary file without a name (in ``$SQLITE_TMPDIR``, ``$TMPDIR`` or /var/tmp), so no
    trace stays, however the process ends. Few records never reach the disk.
    """

    def __init__(self) -> None:
        self._store = sqlite3.connect("", isolation_level=None, check_same_thread=False)
        self._store.execute("PRAGMA journal_mode = OFF")
        self._store.execute("CREATE TABLE record (name BLOB NOT NULL, content BLOB NOT NULL)")
        self._store.execute("BEGIN")
        self._size = 0

    def add(self, name: str, record: T) -> None:
        """Add a record."""
        # surrogates, which undecodable file names have, keep the order of code points
        row = name.encode("utf-8", "surrogatepass"), pickle.dumps(record, pickle.HIGHEST_PROTOCOL)
        self._store.execute("INSERT INTO record VALUES (?, ?)", row)
        self._size += 1

    def groups(self) -> Iterator[list[T]]:
        """The records of each name together."""
        for _, rows in groupby(self._rows(), key=lambda row: row[0]):
            yield [pickle.loads(content) for _, content in rows]

    def in_memory(self) -> Sequence[T]:
        """Itself, or a tuple where the records are few."""
        return tuple(self) if self._size <= FEW else self

    def _rows(self) -> Iterator[tuple[bytes, bytes]]:
        return self._store.execute("SELECT name, content FROM record ORDER BY name, rowid")

    def __iter__(self) -> Iterator[T]:
        return (pickle.loads(content) for _, content in self._rows())

    def __len__(self) -> int:
        return self._size

    @overload
    def __getitem__(self, index: int) -> T: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[T]: ...
    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return tuple(self)[index]
        for number, record in enumerate(self):
            if number == index % max(1, self._size):
                return record
        raise IndexError(index)
