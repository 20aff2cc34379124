"""Find every file below a folder, once and in one order, and say what is skipped."""

from __future__ import annotations

import os
import stat
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

from pyraseg.transforms.errors import InputError

__all__ = [
    "FOREIGN_LINK", "HIDDEN", "INNER_LINK", "PASSED_REMEDIES", "Passed", "check_regular", "is_dicomdir_name",
    "search", "walk",
]  # fmt: skip

FOREIGN_LINK = "a link that leads out of the folder"
INNER_LINK = "a link to a place in the same folder, which is searched there"
DEAD_LINK = "a link that leads nowhere or to itself"
HIDDEN = "a hidden file or folder"
SPECIAL = "no regular file"
UNLISTED = "a folder that cannot be listed"
BARRED = "a path that is too long, or leads through a folder that may not be entered"
# What is passed over though it may hold what was asked for
PASSED_REMEDIES = {
    FOREIGN_LINK: "Name the file or folder that it points to as an input of its own.",
    UNLISTED: "Give yourself the right to read it.",
    BARRED: "Shorten the names of its folders, or give yourself the right to enter them.",
}


@dataclass(frozen=True)
class Passed:
    """A file or folder that a search skipped, and why."""

    path: Path
    reason: str


def is_dicomdir_name(name: str) -> bool:
    """Whether a file of this name is the index of a medium, and no image (PS3.10 section 8.6)."""
    return name.upper() == "DICOMDIR"


def search(root: Path, *, without: Collection[str] = ()) -> tuple[list[Path], list[Passed]]:
    """The regular files below ``root`` at any depth, sorted, and what is skipped; what is no folder, itself.

    Names that begin with a dot, links, and whatever is no regular file (a pipe would never end) are skipped;
    so there are no circles of links. The root itself may be a link. DICOMDIR and the folders ``without``
    (real paths) are skipped silently.
    """
    found = [*walk(root, without=without)]
    files = [each for each in found if isinstance(each, Path)]
    passed = [each for each in found if isinstance(each, Passed)]
    return sorted(files), sorted(passed, key=lambda item: item.path)


def walk(root: Path, *, without: Collection[str] = ()) -> Iterator[Path | Passed]:
    """As `search`, folder by folder, in no order."""
    if not os.path.isdir(root):
        yield root
        return
    unlisted: list[Passed] = []
    real = os.path.realpath(root)

    def note_unlisted(error: OSError) -> None:
        unlisted.append(Passed(Path(os.fsdecode(error.filename)), UNLISTED))

    for folder, subfolders, names in os.walk(root, onerror=note_unlisted):
        reasons = {name: _reason(Path(folder, name), real) for name in [*subfolders, *names]}
        yield from (Passed(Path(folder, name), reason) for name, reason in reasons.items() if reason)
        yield from (Path(folder, name) for name in names if not reasons[name] and not is_dicomdir_name(name))
        visible = sorted(name for name in subfolders if not reasons[name])
        if without:  # realpath asks the disk for every part of a path
            visible = [name for name in visible if os.path.realpath(Path(folder, name)) not in without]
        subfolders[:] = visible
    yield from unlisted


def _reason(path: Path, root: str) -> str:
    """Why it is skipped; empty where it is not."""
    if path.name.startswith("."):
        return HIDDEN
    try:
        mode = os.lstat(path).st_mode
    except OSError:
        return BARRED
    if stat.S_ISLNK(mode):
        target = os.path.realpath(path)  # unlike Path.resolve, it accepts a circle of links
        if not Path(target).is_relative_to(root):
            return FOREIGN_LINK
        return INNER_LINK if os.path.exists(target) else DEAD_LINK
    return "" if stat.S_ISREG(mode) or stat.S_ISDIR(mode) else SPECIAL


def check_regular(path: Path, *, wanted: str) -> None:
    """Refuse what is no file to read, before it is opened: a pipe or a device would never end.

    Raises:
        InputError: nothing there, a folder, a pipe, or the system does not let in.
    """
    try:
        mode = os.stat(path).st_mode
    except (FileNotFoundError, NotADirectoryError):
        found = "no file of that name"
    except OSError as error:
        found = f"one that cannot be opened ({error.strerror})"
    else:
        if stat.S_ISREG(mode):
            return
        found = "a folder" if stat.S_ISDIR(mode) else SPECIAL
    raise InputError(wanted, found=found, remedy="Check the path.", path=path)
