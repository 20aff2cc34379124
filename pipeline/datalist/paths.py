"""Paths as a datalist writes them: relative to the data set, POSIX, with the frame of a cine behind a ``#``."""

from __future__ import annotations

import re
from pathlib import Path

from transforms.privacy import case_name

__all__ = ["frame_path", "group_name", "split_frame"]

FRAME = re.compile(r"^(?P<path>.+)#frame_index=(?P<index>\d+)$")


def frame_path(path: str, index: int | None) -> str:
    """``path#frame_index=3`` for a frame of a cine, counted from 0; the path itself where the file is one image."""
    return path if index is None else f"{path}#frame_index={index}"


def split_frame(path: str | Path) -> tuple[str, int | None]:
    """The file and the frame index, None where the path names a whole file."""
    match = FRAME.match(str(path))
    return (match["path"], int(match["index"])) if match else (str(path), None)


def group_name(text: str) -> str:
    """A keyed hash of a folder name, table value or PatientID: groups may identify, and datalists are logged."""
    return "g" + case_name(f"group:{text}")[1:]
