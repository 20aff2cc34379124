"""Every file below a folder, once and in one order, and a word about each thing that is passed over."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

__all__ = ["DIRECTORY_FILE", "FOREIGN_LINK", "UNLISTED", "Passed", "search"]

DIRECTORY_FILE = "DICOMDIR"  # an index of the medium, not an image
FOREIGN_LINK = "a link that leads out of the folder"
INNER_LINK = "a link to a place in the same folder, which is searched there"
DEAD_LINK = "a link that leads nowhere or to itself"
HIDDEN = "a hidden file or folder"
SPECIAL = "no regular file"
UNLISTED = "a folder that cannot be listed"


@dataclass(frozen=True)
class Passed:
    """What a search did not take, and why in words."""

    path: Path
    reason: str


def search(root: Path, *, without: Collection[str] = ()) -> tuple[list[Path], list[Passed]]:
    """The regular files below ``root`` at any depth, sorted, and what is passed over.

    Names that begin with a dot, what is no regular file (a pipe would never end) and links are passed over,
    so a circle of links has no beginning; the root itself may be a link. DICOMDIR is passed over without a
    word, and so are the folders ``without``, real paths.
    """
    files: list[Path] = []
    passed: list[Passed] = []
    real = os.path.realpath(root)
    unlisted = lambda error: passed.append(Passed(Path(os.fsdecode(error.filename)), UNLISTED))  # noqa: E731
    for folder, subfolders, names in os.walk(root, onerror=unlisted):
        passed += [Passed(path, reason) for path, reason in _passed(folder, [*subfolders, *names], real)]
        subfolders[:] = sorted(name for name in subfolders if not name.startswith("."))
        if without:
            subfolders[:] = [
                name for name in subfolders if os.path.realpath(Path(folder, name)) not in without
            ]
        places = [
            Path(folder, name)
            for name in names
            if not name.startswith(".") and name.upper() != DIRECTORY_FILE
        ]
        files += [path for path in places if not path.is_symlink() and path.is_file()]
    return sorted(files), sorted(passed, key=lambda item: item.path)


def _passed(folder: str, names: list[str], real: str) -> Iterator[tuple[Path, str]]:
    for path in (Path(folder, name) for name in names):
        if path.name.startswith("."):
            yield path, HIDDEN
        elif path.is_symlink():
            yield path, _link(path, real)
        elif not path.is_file() and not path.is_dir():
            yield path, SPECIAL


def _link(path: Path, real: str) -> str:
    target = os.path.realpath(path)  # unlike Path.resolve, it takes a circle of links
    if not Path(target).is_relative_to(real):
        return FOREIGN_LINK
    return INNER_LINK if os.path.exists(target) else DEAD_LINK
