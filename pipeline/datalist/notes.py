"""What is worth saying of a datalist before hours of training: alike groups, few of them, absent classes."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from pyraseg.pipeline.datalist.items import Item
from pyraseg.pipeline.utils.groups import note_on_groups

__all__ = ["FEW_GROUPS", "absent_classes", "alike_items", "alike_names", "notes_on"]

FEW_GROUPS = 5  # a split with fewer says more about these patients than about others


def alike_names(names: Iterable[str]) -> list[list[str]]:
    """Names that differ in case, leading zeros, separators or a decimal point only.

    >>> alike_names(["1", "001", "P-1", "p_1", "2", "12"])
    [['001', '1'], ['P-1', 'p_1']]
    """
    same: dict[str, set[str]] = defaultdict(set)
    for name in names:
        plain = re.sub(r"^(\d+)\.0+$", r"\1", unicodedata.normalize("NFKC", name).strip().casefold())
        words = re.sub(r"\d+", lambda digits: str(int(digits[0])), re.sub(r"[\W_]+", " ", plain))
        same[words].add(name)
    return sorted(sorted(group) for group in same.values() if len(group) > 1)


def alike_items(splits: Mapping[str, Sequence[Any]]) -> str:
    """A sentence on items whose groups have alike names, by their places: the names may identify."""
    items = (item for items in splits.values() for item in items if isinstance(item, dict))
    groups = {group for item in items if isinstance(group := item.get("group"), str)}
    alike = alike_names(groups)
    if not alike:
        return ""
    first: dict[str, str] = {}
    for split, each in splits.items():
        for position, item in enumerate(each):
            if isinstance(item, dict) and item.get("group") in alike[0]:
                first.setdefault(item["group"], f"{split} {position}")
    return (
        f"{len(alike)} names of groups differ from others in case, leading zeros or separators only, first "
        f"those of the items {' and '.join(first.values())}. If they are one patient, give them one name."
    )


def absent_classes(
    counts: Mapping[str, Mapping[str, int]], split: str, *, fold: int | None, label_names: Sequence[str]
) -> list[str]:
    """The classes that no image of a split shows, by the counts that ``build_datalist`` recorded."""
    folds = {name for name in counts if name.startswith("fold ")}
    held_out = {f"fold {fold}"} & folds
    parts = {split} | (
        folds - held_out if split == "training" else held_out if split == "validation" else set()
    )
    shown = Counter[str]()
    for part in parts & set(counts):
        shown.update(counts[part])
    return [name for name in label_names[1:] if not shown[name]] if parts & set(counts) else []


def notes_on(
    splits: Mapping[str, Sequence[Item]], wanted: Iterable[str], absent: Mapping[str, Sequence[str]]
) -> Iterator[str]:
    """Sentences on the splits that are used; names in them are those of the tables."""
    groups = {split: [item["group"] for item in splits[split]] for split in wanted}
    if note := note_on_groups([group for each in groups.values() for group in each]):
        yield note
    for split, names in groups.items():
        if len(set(names)) < FEW_GROUPS:
            yield f"{split} has {len(set(names))} groups (patients): too few to speak for others."
        for name in absent.get(split, ()):
            yield f"No image of {split} shows {name}: it cannot be learnt or judged there."
