"""The record of a run's split: which case was for what."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["SPLITS", "split_record"]

SPLITS = ("training", "validation", "test")


def split_record(data: Any) -> dict[str, Any]:
    """The split of a ``Datalist``: its digest, the seed, and each split's groups with their cases.

    Names are the tables' keyed hashes, unless the datalist asks to keep the original ones.
    """
    return {"digest": data.digest, "seed": data.seed} | {name: _by_group(data.items(name)) for name in SPLITS}


def _by_group(items: list[Mapping[str, Any]]) -> dict[str, list[str]]:
    groups: dict[str, list[str]] = {}
    for item in items:
        groups.setdefault(str(item["group"]), []).append(str(item["case"]))
    return groups
