"""Which cases a run was trained, validated and tested on, by their keyed hashes."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from transforms.privacy import case_name

__all__ = ["SPLITS", "split_record"]

SPLITS = ("training", "validation", "test")
HASH = re.compile(r"c[0-9a-f]{12}")


def split_record(data: Any) -> dict[str, Any]:
    """The split of a ``Datalist``: its digest, the seed of the split, and per split each group with its cases.

    A datalist that was written by hand may name cases and groups as it likes; those are hashed here.
    """
    return {"digest": data.digest, "seed": data.seed} | {name: _by_group(data.items(name)) for name in SPLITS}


def _by_group(items: list[Mapping[str, Any]]) -> dict[str, list[str]]:
    groups: dict[str, list[str]] = {}
    for item in items:
        groups.setdefault(_hashed(item["group"]), []).append(_hashed(item["case"]))
    return groups


def _hashed(name: Any) -> str:
    name = str(name)
    return name if HASH.fullmatch(name) else case_name(name)
