"""The rules of every datalist, checked when it is written and when it is read."""

from __future__ import annotations

import difflib
import hashlib
import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pyraseg.pipeline.datalist.groups import group_name
from pyraseg.pipeline.datalist.items import SPLITS, Item
from pyraseg.transforms.errors import DatalistError
from pyraseg.transforms.privacy import case_name, is_hashed

__all__ = ["check_items", "complete_item", "content_digest", "nameless", "nearest"]

REQUIRED = ("image", "label")
ITEM_KEYS = (*REQUIRED, "case", "group", "class", "fold")
HASHED_KEYS = ("case", "group")  # not in the digest: they depend on the machine's hash key


def nearest(name: str, known: Iterable[str]) -> str:
    """A sentence with the known key closest to a misspelt one; empty if none is close."""
    close = difflib.get_close_matches(name, list(known), n=1, cutoff=0.75)
    return f'Did you mean "{close[0]}"?' if close else ""


def complete_item(item: Any) -> Any:
    """Add the keys that MONAI's lists lack: a case name from the image's path, and the case as its group."""
    if not isinstance(item, dict) or not isinstance(item.get("image"), str):
        return item  # the check reports it
    case = item.get("case") or case_name(item["image"])
    return {**item, "case": case, "group": item.get("group", case)}


def nameless(item: Any) -> Any:
    """The item with keyed hashes in place of typed names, which may be a patient's."""
    if not isinstance(item, dict):
        return item
    hashes = {"case": case_name, "group": group_name}
    return item | {
        key: hashes[key](str(item[key])) for key in hashes if key in item and not is_hashed(str(item[key]))
    }


def check_items(splits: Mapping[str, Sequence[Item]]) -> None:
    """Refuse malformed items, repeated cases, and groups (patients, studies) in two splits or folds.

    Raises:
        DatalistError: with the number and the names of cases or groups as in the list (hashed by default).
    """
    for split, items in splits.items():
        for position, item in enumerate(items):
            _check_item(item, f"item {position} of {split}")
    counts = Counter(item["case"] for items in splits.values() for item in items)
    if twice := sorted(case for case, number in counts.items() if number > 1):
        raise DatalistError(
            "every case once",
            found=f"{len(twice)} cases more than once, first {', '.join(twice[:3])}",
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


def _check_item(item: Any, where: str) -> None:
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
    for key in REQUIRED:
        if not isinstance(item.get(key), str) or not item[key]:
            raise DatalistError(
                "items with the keys image and label, each a path relative to the data set's folder",
                found=f"{where} without a path under {key}",
                remedy="Add it, or leave the item out.",
            )


def content_digest(
    splits: Mapping[str, Sequence[Item]],
    label_names: Sequence[str],
    label_map: Mapping[int | str, int],
    reading: Mapping[str, Any],
) -> str:
    """SHA-256 of the items, names, map and reading options that are given; the same on every machine."""

    def unhashed(item: Item) -> Item:
        return {key: value for key, value in item.items() if key not in HASHED_KEYS}

    content = {
        "splits": {split: [unhashed(item) for item in splits.get(split, ())] for split in SPLITS},
        "label_names": list(label_names),
        "label_map": {str(value): index for value, index in label_map.items()},
        **({"reading": dict(reading)} if reading else {}),
    }
    return hashlib.sha256(json.dumps(content, sort_keys=True, separators=(",", ":")).encode()).hexdigest()
