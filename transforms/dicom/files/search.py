"""Find every file below a folder, once and in one order, and say what is skipped."""

from __future__ import annotations

import os
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

__all__ = ["FOREIGN_LINK", "UNLISTED", "Passed", "is_dicomdir_name", "search"]

FOREIGN_LINK = "a link that leads out of the folder"
INNER_LINK = "a link to a place in the same folder, which is searched there"
DEAD_LINK = "a link that leads nowhere or to itself"
HIDDEN = "a hidden file or folder"
SPECIAL = "no regular file"
UNLISTED = "a folder that cannot be listed"


@dataclass(frozen=True)
class Passed:
    """A file or folder that a search skipped, and why."""

    path: Path
    reason: str


def is_dicomdir_name(name: str) -> bool:
    """Whether a file of this name is the index of a medium, and no image (PS3.10 section 8.6)."""
    return name.upper() == "DICOMDIR"


def search(root: Path, *, without: Collection[str] = ()) -> tuple[list[Path], list[Passed]]:
    """The regular files below ``root`` at any depth, sorted, and what is skipped.

    Names that begin with a dot, links, and whatever is no regular file (a pipe would never end) are skipped;
    so there are no circles of links. The root itself may be a link. DICOMDIR and the folders ``without``
    (real paths) are skipped silently.
    """
    files: list[Path] = []
    passed: list[Passed] = []
    real = os.path.realpath(root)

    def note_unlisted(error: OSError) -> None:
        passed.append(Passed(Path(os.fsdecode(error.filename)), UNLISTED))

    for folder, subfolders, names in os.walk(root, onerror=note_unlisted):
        for path in (Path(folder, name) for name in [*subfolders, *names]):
            if reason := _reason(path, real):
                passed.append(Passed(path, reason))
            elif path.is_file() and not is_dicomdir_name(path.name):
                files.append(path)
        visible = sorted(name for name in subfolders if not name.startswith("."))
        if without:  # realpath asks the disk for every part of a path
            visible = [name for name in visible if os.path.realpath(Path(folder, name)) not in without]
        subfolders[:] = visible
    return sorted(files), sorted(passed, key=lambda item: item.path)


def _reason(path: Path, root: str) -> str:
    """Why it is skipped; empty where it is not."""
    if path.name.startswith("."):
        return HIDDEN
    if path.is_symlink():
        target = os.path.realpath(path)  # unlike Path.resolve, it accepts a circle of links
        if not Path(target).is_relative_to(root):
            return FOREIGN_LINK
        return INNER_LINK if os.path.exists(target) else DEAD_LINK
    return "" if path.is_file() or path.is_dir() else SPECIAL
