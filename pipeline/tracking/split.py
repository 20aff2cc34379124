"""Which cases a run was trained, validated and tested on, by their keyed hashes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["SPLITS", "split_record"]

SPLITS = ("training", "validation", "test")


def split_record(data: Any) -> dict[str, Any]:
    """The split of a ``Datalist``: its digest, the seed of the split, and per split each group with its
    cases.

    The names are those of the tables: keyed hashes, unless the datalist says to keep what was written.
    """
    return {"digest": data.digest, "seed": data.seed} | {name: _by_group(data.items(name)) for name in SPLITS}


def _by_group(items: list[Mapping[str, Any]]) -> dict[str, list[str]]:
    groups: dict[str, list[str]] = {}
    for item in items:
        groups.setdefault(str(item["group"]), []).append(str(item["case"]))
    return groups
