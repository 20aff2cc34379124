"""The same image file in two groups: a leak that no split on the group can mend."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Callable, Iterable
from pathlib import Path

from pipeline.datalist.records import Collection
from transforms.errors import DatalistError

__all__ = ["check_duplicates"]


def check_duplicates(found: Collection, *, shown: Callable[[str], str]) -> None:
    """Refuse images that are byte for byte alike and belong to two groups.

    Only files of equal size are read. Images that differ in a header or in their compression are not recognised.

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
    by_size = _gather(images, lambda image: (root / image).stat().st_size)
    return [alike for same in by_size for alike in _gather(same, lambda image: _digest(root / image))]


def _gather(images: Iterable[str], key: Callable[[str], object]) -> list[list[str]]:
    found: dict[object, list[str]] = defaultdict(list)
    for image in images:
        found[key(image)].append(image)
    return [sorted(same) for same in found.values() if len(same) > 1]


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "blake2b").hexdigest()
