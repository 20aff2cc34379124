"""Open files as they were found: no more bytes than they have, and none of another file at their place."""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import BinaryIO

from pyraseg.transforms.dicom.files.values import foreign
from pyraseg.transforms.errors import InputError

__all__ = ["file_version", "open_bounded", "open_version", "replaced"]


class _BoundedFile(io.BufferedReader):
    """A file that never reads more bytes than it has: a broken length could take gigabytes."""

    def __init__(self, path: Path) -> None:
        super().__init__(io.FileIO(path))
        self._size = os.fstat(self.fileno()).st_size

    def read(self, size: int | None = -1, /) -> bytes:
        if size is not None and size > io.DEFAULT_BUFFER_SIZE:
            size = max(0, min(size, self._size - self.tell()))
        return super().read(size)


def open_bounded(path: Path) -> BinaryIO:
    """Open a file whose ``read`` takes no more memory than the file's size, whatever its header says."""
    return _BoundedFile(path)


def file_version(status: os.stat_result) -> tuple[int, ...]:
    """What changes when a file is written to or another takes its place, even one of its size and time."""
    return status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns


def replaced(path: str | Path) -> InputError:
    """The refusal of a file that has changed between two looks at it."""
    found = "another one in its place, or one that was written to since"
    remedy = "Run it again when nothing writes to the folder any more; with --resume what is done is kept."
    return InputError("the file as it was found", found=found, remedy=remedy, path=path)


def open_version(path: Path, version: tuple[int, ...]) -> BinaryIO:
    """As `open_bounded`, the file of that version.

    Raises:
        InputError: it is another one now.
        BrokenFile: it cannot be opened.
    """
    with foreign():
        file = open_bounded(path)
    if file_version(os.fstat(file.fileno())) == version:
        return file
    file.close()
    raise replaced(path)
