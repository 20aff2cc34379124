"""The rules of every datalist, checked when it is written and when it is read."""

from __future__ import annotations

import difflib
import hashlib
import json
import os
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pyraseg.pipeline.datalist.groups import group_name
from pyraseg.pipeline.datalist.items import SPLITS, UNLABELLED, Item
from pyraseg.transforms.errors import DatalistError
from pyraseg.transforms.io.paths import split_frame_path
from pyraseg.transforms.privacy import case_name, image_group, is_hashed
from pyraseg.transforms.records import BACKGROUND

__all__ = ["check_items", "check_shared_files", "complete_item", "content_digest", "nameless", "nearest"]

REQUIRED = ("image", "label")
ITEM_KEYS = (*REQUIRED, BACKGROUND, "case", "group", "class", "fold")
HASHED_KEYS = ("case", "group")  # not in the digest: they depend on the machine's hash key


def nearest(name: str, known: Iterable[str]) -> str:
    """A sentence with the known key closest to a misspelt one; empty if none is close."""
    close = difflib.get_close_matches(name, list(known), n=1, cutoff=0.75)
    return f'Did you mean "{close[0]}"?' if close else ""


def complete_item(item: Any, root: str | Path | None = None) -> Any:
    """Spell the paths in one way, and add a case name and a group where MONAI's lists lack them.

    The case is named by the image's path, relative to ``root`` where it lies there; an image without a group
    is one by itself, as is a cine. Spaces around names count for nothing: 1, "1" and "1 " are one group.
    """
    if not isinstance(item, dict) or not isinstance(item.get("image"), str) or not item["image"]:
        return item  # the check reports it
    paths = {
        key: _spelled(item[key], root) for key in REQUIRED if isinstance(item.get(key), str) and item[key]
    }
    alone = image_group(str(split_frame_path(paths["image"])[0]))
    case, group = (_typed_name(item.get(key)) for key in HASHED_KEYS)
    return {**item, **paths, "case": case or case_name(paths["image"]), "group": group or alone}


def _spelled(path: str, root: str | Path | None) -> str:
    """The path of a file, or of a frame, without "." and "..", relative to ``root`` where it lies there."""
    text = os.path.normpath(path)
    if root is not None:
        inside = os.path.relpath(os.path.join(root, text), root)
        text = text if os.path.isabs(text) and inside.startswith(os.pardir) else inside
    return text


def _typed_name(value: Any) -> Any:
    """A name or a number as text; empty where there is none, as NaN in a table that became JSON."""
    is_name = isinstance(value, str | int | float) and not isinstance(value, bool) and value == value
    return str(value).strip() if is_name else value if value is not None and value == value else ""


def nameless(item: Any) -> Any:
    """The item with keyed hashes in place of typed names, which may be a patient's."""
    if not isinstance(item, dict):
        return item
    hashes = {"case": case_name, "group": group_name}
    return item | {
        key: hashes[key](item[key])
        for key in hashes
        if isinstance(item.get(key), str) and not is_hashed(item[key])
    }


def check_items(splits: Mapping[str, Sequence[Item]]) -> None:
    """Refuse malformed items, repeated cases, and groups (patients, studies) in two splits or folds.

    Raises:
        DatalistError: with the number and the names of cases or groups as in the list (hashed by default).
    """
    for split, items in splits.items():
        required = ("image",) if split == UNLABELLED else REQUIRED
        for position, item in enumerate(items):
            where = f"item {position} of {split}"
            blank = isinstance(item, dict) and BACKGROUND in item
            if blank:
                _check_background(item, where, trains=split == "training")
            _check_item(item, where, ("image",) if blank else required)
    every = [item for items in splits.values() for item in items]
    for key in ("case", "image"):
        counts = Counter(item[key] for item in every)
        if twice := [item["case"] for item in every if counts[item[key]] > 1]:
            raise DatalistError(
                f"every {key} once",
                found=f"{len(set(twice))} cases more than once, first {', '.join(sorted(set(twice))[:3])}",
                remedy="Remove the repeated items, or build the datalist again.",
            )
    homes: dict[str, set[str]] = defaultdict(set)
    for split, items in splits.items():
        for item in items:
            fold = f" fold {item['fold']}" if "fold" in item else ""
            homes[str(item["group"])].add(split + fold)
    if leaking := sorted(group for group, names in homes.items() if len(names) > 1):
        example = " and ".join(sorted(homes[leaking[0]]))
        raise DatalistError(
            "each group (patient or study) in one split only",
            found=f"{len(leaking)} groups in several, first {leaking[0]} in {example}",
            remedy="Split on the group: build the datalist again with `pyraseg datalist`.",
        )


def check_shared_files(splits: Mapping[str, Sequence[Item]]) -> None:
    """Refuse an image file in two groups, under whatever links; ``image`` paths are absolute.

    The frames of a cine are one file, and a series' folder holds its files.

    Raises:
        DatalistError: a leak, since groups are what splits keep together.
    """
    owners: dict[object, set[tuple[str, str]]] = defaultdict(set)
    files: list[tuple[str, object]] = []
    for split, items in splits.items():
        for item in items:
            file = os.path.realpath(split_frame_path(item["image"])[0])
            files.append((file, _inode(file)))
            for place in files[-1]:
                owners[place].add((item["group"], split))
    for file, inode in files:
        homes = owners[inode].union(*(owners.get(str(folder), ()) for folder in Path(file).parents))
        if len({group for group, _ in homes}) > 1:
            some = " and ".join(f"{group} of {split}" for group, split in sorted(homes)[:2])
            raise DatalistError(
                "each image file in one group (patient or study)",
                found=f"one file in {some}, by a link, another path or another frame of it",
                remedy="Give these items one group and one split, or remove one.",
                path=file,
            )


def _inode(file: str) -> object:
    """What two hard links share; the path of a file that is absent, or whose system counts none."""
    try:
        status = os.stat(file)
    except OSError:
        return file
    return (status.st_dev, status.st_ino) if status.st_ino else file


def _check_background(item: Item, where: str, *, trains: bool) -> None:
    faults = {
        f"{item[BACKGROUND]!r}": item[BACKGROUND] is not True,
        "it beside a label": "label" in item,
        "it outside training": not trains,
    }
    if fault := next((fault for fault, found in faults.items() if found), ""):
        raise DatalistError(
            'items with "background": true, without a label and in training only',
            found=f"{where} with {fault}",
            remedy="Give its label, where it may be empty, or leave the item out.",
        )


def _check_item(item: Any, where: str, required: Sequence[str]) -> None:
    if not isinstance(item, dict):
        raise DatalistError(
            "items with the keys image and label",
            found=f"{where} as {type(item).__name__}",
            remedy='Write each item as {"image": ..., "label": ...}.',
        )
    if unknown := sorted(set(item) - set(ITEM_KEYS)):
        raise DatalistError(
            f"items with no keys but {', '.join(ITEM_KEYS)}",
            found=f'{where} with the key "{unknown[0]}"',
            remedy=nearest(unknown[0], ITEM_KEYS) or "Remove the key.",
        )
    for key in required:
        if not isinstance(item.get(key), str) or not item[key]:
            raise DatalistError(
                "items with the keys image and label, each a path relative to the data set's folder",
                found=f"{where} without a path under {key}",
                remedy="Add it, or leave the item out.",
            )
    for key in HASHED_KEYS:
        if not isinstance(item[key], str):
            wanted, found = f"a {key} that is a name or a number", f"{where} with {type(item[key]).__name__}"
            raise DatalistError(wanted, found=found, remedy="Write one name, or leave it out.")


def content_digest(
    splits: Mapping[str, Sequence[Item]],
    label_names: Sequence[str],
    label_map: Mapping[int | str, int],
    reading: Mapping[str, Any],
) -> str:
    """SHA-256 of the items, names, map and reading options that are given; the same on every machine."""

    def unhashed(item: Item) -> Item:
        return {key: value for key, value in item.items() if key not in HASHED_KEYS}

    content: dict[str, Any] = {
        "splits": {split: [unhashed(item) for item in splits.get(split, ())] for split in SPLITS},
        "label_names": list(label_names),
        "label_map": {str(value): index for value, index in label_map.items()},
        **({"reading": dict(reading)} if reading else {}),
    }
    if splits.get(UNLABELLED):
        content[UNLABELLED] = [unhashed(item) for item in splits[UNLABELLED]]
    return hashlib.sha256(json.dumps(content, sort_keys=True, separators=(",", ":")).encode()).hexdigest()
