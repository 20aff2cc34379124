"""How one frame of a multi-frame file is named in a path string: ``cine.dcm#frame_index=3``, counted from
0."""

from __future__ import annotations

import re
from pathlib import Path

__all__ = ["frame_path", "split_frame_path"]

_FRAGMENT = re.compile(r"(?P<path>.+)#frame_index=(?P<index>\d+)", re.DOTALL)


def frame_path(path: str | Path, frame_index: int) -> str:
    """The path string of frame ``frame_index`` (0-based; DICOM's 1-based numbers appear in written objects
    only)."""
    return f"{path}#frame_index={frame_index}"


def split_frame_path(text: str | Path) -> tuple[Path, int | None]:
    """Undo `frame_path`: the file, and the frame's 0-based index or None where the text names a whole
    file."""
    match = _FRAGMENT.fullmatch(str(text))
    return (Path(match["path"]), int(match["index"])) if match else (Path(text), None)
