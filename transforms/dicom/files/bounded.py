"""Open a DICOM file so that its header costs memory and time in proportion to its size, whatever it says."""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import BinaryIO

from pyraseg.transforms.errors import InputError
from pyraseg.transforms.io.limits import most_items

__all__ = ["open_bounded"]

LITTLE, BIG = b"\xfe\xff\x00\xe0", b"\xff\xfe\xe0\x00"  # the tag of an item, by byte order
READ = io.BufferedReader.read  # called for every element: `super()` would take as long again


class _BoundedFile(io.BufferedReader):
    """The guard is in ``read``, through which every byte of a header goes, wherever it stands."""

    def __init__(self, path: Path) -> None:
        super().__init__(io.FileIO(path))
        self._path, self._size, self._items = path, os.fstat(self.fileno()).st_size, 0

    def read(self, size: int | None = -1, /) -> bytes:
        if size is None or size < 0:  # asked by pydicom for a deflated data set alone, to inflate it at once
            raise _deflated(self._path)
        if size > io.DEFAULT_BUFFER_SIZE:
            size = max(0, min(size, self._size - self.tell()))
        data = READ(self, size)
        if LITTLE not in data and BIG not in data:  # nearly always
            return data
        self._items += data.count(LITTLE) + data.count(BIG)
        if self._items > most_items(self._size):
            wanted, remedy = "a header of plausible length", "Export the file again, or leave it out."
            found = f"more than {most_items(self._size)} sequence items in a file of {self._size} bytes"
            raise InputError(wanted, found=found, remedy=remedy, path=self._path)
        return data


def open_bounded(path: Path) -> BinaryIO:
    """Open a file to read its header: no length, item or deflated data set costs more than its bytes do.

    ``read`` raises an `InputError` where a data set is deflated, or has more items than `most_items`.
    """
    return _BoundedFile(path)


def _deflated(path: Path) -> InputError:
    return InputError(
        "a transfer syntax whose frames can be read one by one",
        found="a deflated data set (1.2.840.10008.1.2.1.99)",
        remedy="Convert the file to Explicit VR Little Endian, for example with dcmconv +te.",
        path=path,
    )
