"""A file as it was found, and no other one at its place."""

from __future__ import annotations

import os
from pathlib import Path
from typing import BinaryIO

from pyraseg.transforms.dicom.files.bounded import open_bounded
from pyraseg.transforms.dicom.files.values import foreign
from pyraseg.transforms.errors import InputError

__all__ = ["file_version", "open_version", "replaced"]


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
