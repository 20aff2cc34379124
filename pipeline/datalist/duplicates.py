"""The same image file in two groups: a leak that no split on the group can mend."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Callable, Iterable
from pathlib import Path

from pyraseg.pipeline.datalist.items import Collection
from pyraseg.transforms.dicom.files.search import search
from pyraseg.transforms.errors import DatalistError

__all__ = ["check_duplicates"]


def check_duplicates(found: Collection, *, shown: Callable[[str], str]) -> None:
    """Refuse images that are byte for byte alike and belong to two groups.

    Only files of equal size are read; a series is the same where all its files are. Images that differ in a
    header or in their compression are not recognised.

    Args:
        found: the entries, with groups.
        shown: how a group may be named in a message (its hash).

    Raises:
        DatalistError: with the groups; ``path`` has a file of two of them.
    """
    groups = {entry.image: entry.group for entry in found.entries}
    for images in _alike(groups, found.root):
        concerned = {groups[image]: image for image in images}
        if len(concerned) > 1:
            names = " and ".join(shown(group) for group in list(concerned)[:2])
            raise DatalistError(
                "each image in one group",
                found=f"the same file in {len(concerned)} groups, {names}",
                remedy="Join the groups, or remove the copies.",
                path=", ".join(str(found.root / image) for image in list(concerned.values())[:2]),
            )


def _alike(images: Iterable[str], root: Path) -> list[list[str]]:
    by_size = _gather(images, lambda image: _size(root / image))
    return [alike for same in by_size for alike in _gather(same, lambda image: _digest(root / image))]


def _gather(images: Iterable[str], key: Callable[[str], Iterable[object]]) -> list[list[str]]:
    found: dict[tuple[object, ...], list[str]] = defaultdict(list)
    for image in images:
        found[tuple(key(image))].append(image)
    return [sorted(same) for same in found.values() if len(same) > 1]


def _size(path: Path) -> list[int]:
    """Of the file, or of each file of a series, whatever its name."""
    return sorted(file.stat().st_size for file in _files(path))


def _digest(path: Path) -> list[str]:
    return sorted(_digest_of_file(file) for file in _files(path))


def _files(path: Path) -> list[Path]:
    return search(path)[0] if path.is_dir() else [path]


def _digest_of_file(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "blake2b").hexdigest()
