"""What every datalist must hold to, when it is written and when it is read."""

from __future__ import annotations

import difflib
import hashlib
import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pyraseg.pipeline.datalist.groups import group_name
from pyraseg.pipeline.datalist.items import SPLITS, Datalist, Item
from pyraseg.transforms.errors import DatalistError, LabelError
from pyraseg.transforms.privacy import case_name, is_hashed

__all__ = [
    "check_items",
    "check_label_names",
    "check_labels",
    "check_leaks",
    "complete_item",
    "content_digest",
    "nameless",
    "nearest",
    "sort_keys",
]

BACKGROUND = "background"
REQUIRED = ("image", "label")
ITEM_KEYS = (*REQUIRED, "case", "group", "class", "fold")
HASHED_KEYS = ("case", "group")  # they depend on the machine's hash key, so the digest leaves them out


def nearest(name: str, known: Iterable[str]) -> str:
    """A sentence that names the known key closest to a misspelt one; empty where none is close."""
    close = difflib.get_close_matches(name, list(known), n=1, cutoff=0.75)
    return f'Did you mean "{close[0]}"?' if close else ""


def complete_item(item: Any) -> Any:
    """Add what MONAI's own lists lack: a case name from the image's path, and a group of its own for each
    image."""
    if not isinstance(item, dict) or not isinstance(item.get("image"), str):
        return item  # left for the check to name
    case = item.get("case") or case_name(item["image"])
    return {**item, "case": case, "group": item.get("group", case)}


def nameless(item: Any) -> Any:
    """The item with keyed hashes in the place of names that somebody typed: they may be a patient's."""
    if not isinstance(item, dict):
        return item
    hashes = {"case": case_name, "group": group_name}
    return item | {
        key: hashes[key](str(item[key])) for key in hashes if key in item and not is_hashed(str(item[key]))
    }


def check_items(splits: Mapping[str, Sequence[Item]]) -> None:
    """Refuse items of the wrong form, cases that occur twice and groups that leak.

    Raises:
        DatalistError: with the number and the names of the cases concerned.
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
    check_leaks(splits)


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


def check_leaks(splits: Mapping[str, Sequence[Item]]) -> None:
    """Refuse a group (a patient, a study) that stands in two splits, or in two folds of one.

    Raises:
        DatalistError: with the groups' names as the list has them (hashed unless it was built to keep them).
    """
    places: dict[str, set[str]] = defaultdict(set)
    for split, items in splits.items():
        for item in items:
            fold = f" fold {item['fold']}" if "fold" in item else ""
            places[str(item["group"])].add(split + fold)
    leaking = sorted(group for group, found in places.items() if len(found) > 1)
    if not leaking:
        return
    example = " and ".join(sorted(places[leaking[0]]))
    raise DatalistError(
        "each group (patient or study) in one split only",
        found=f"{len(leaking)} groups in several, first {leaking[0]} in {example}",
        remedy="Split on the group: build the datalist again with `pyraseg datalist`.",
    )


def sort_keys(label_map: Iterable[int | str]) -> list[int | str]:
    """Values in their order, then names in the order in which they are declared."""
    return sorted(label_map, key=lambda key: (1, 0) if isinstance(key, str) else (0, key))


def check_labels(label_names: Sequence[str], label_map: Mapping[int | str, int]) -> None:
    """Refuse names that are not distinct, do not begin with the background, or a map that points past them.

    Names of parts are compared as the reader of labels compares them, without regard to case.

    Raises:
        LabelError: the label set contradicts itself.
    """
    distinct = len(set(label_names)) == len(label_names)
    if len(label_names) < 2 or label_names[0] != BACKGROUND or not distinct or not all(label_names):
        raise LabelError(
            f'distinct class names of which the first is "{BACKGROUND}", and one more at least',
            found=str(list(label_names)),
            remedy="Name each class once, in the order of the classes.",
        )
    if beyond := sort_keys(value for value, index in label_map.items() if not 0 <= index < len(label_names)):
        raise LabelError(
            f"mask values mapped to the classes 0 to {len(label_names) - 1}",
            found=f"{_shown(beyond[0])} mapped to class {label_map[beyond[0]]}",
            remedy="Correct label_map, or add the class's name to label_names.",
        )
    parts = Counter(key.strip().casefold() for key in label_map if isinstance(key, str))
    if any(not part or number > 1 for part, number in parts.items()):
        remedy = "Give each name of a segment or region one class; upper and lower case are alike."
        raise LabelError(
            "distinct names in label_map", found="an empty name or one that stands twice", remedy=remedy
        )


def _shown(key: int | str) -> str:
    """A value as it is; the name of a part may be a person's."""
    return f"mask value {key}" if isinstance(key, int) else "the name of a part"


def check_label_names(datalist: Datalist, expected_names: Sequence[str]) -> None:
    """Refuse a datalist whose classes are not the ones that the bundle is configured for.

    Raises:
        LabelError: the remedy is the override that fits this datalist.
    """
    if tuple(expected_names) == datalist.label_names:
        return
    names = "[" + ",".join(f"'{name}'" for name in datalist.label_names) + "]"
    raise LabelError(
        f"a datalist with the {len(expected_names)} classes {', '.join(expected_names)}",
        found=f"{datalist.num_classes} classes: {', '.join(datalist.label_names)}",
        remedy=f'Add to the command: --label_names "{names}"',
    )


def content_digest(
    splits: Mapping[str, Sequence[Item]], label_names: Sequence[str], label_map: Mapping[int | str, int]
) -> str:
    """SHA-256 of the items, names and map in canonical JSON: the same list has the same digest on every
    machine."""
    content = {
        "splits": {
            split: [
                {key: value for key, value in item.items() if key not in HASHED_KEYS}
                for item in splits.get(split, ())
            ]
            for split in SPLITS
        },
        "label_names": list(label_names),
        "label_map": {str(value): index for value, index in label_map.items()},
    }
    return hashlib.sha256(json.dumps(content, sort_keys=True, separators=(",", ":")).encode()).hexdigest()
