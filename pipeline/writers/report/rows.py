"""An item as the page's script reads it: plain values for JSON."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from pyraseg.pipeline.writers.tables.csv_tables import median_and_maximum, searched_box
from pyraseg.pipeline.writers.tables.item_records import ItemRecord
from pyraseg.pipeline.writers.tables.text import clean

__all__ = ["item_row"]

DIGITS = 6  # significant ones; the tables have more


def item_row(record: ItemRecord, *, units: Mapping[str, str], folder: str, identify: bool) -> dict[str, Any]:
    """What the page shows of an item; lists of quantities are in the order of ``units``.

    ``folder`` is the item's, relative to the page. The file's path, its UIDs and the patient are there only
    where ``identify`` asks for them.
    """
    key, spread = record.key, [median_and_maximum(record, name) for name in units]
    row = {
        "case": record.case,
        "folder": "./" + quote(folder, errors="surrogateescape"),
        "frames": record.frames,
        "size": [record.rows, record.columns],
        "spacing": _spacing(record),
        "searched": None if record.searched_mm is None else searched_box(record.searched_mm),
        "spacing_source": record.spacing_source,
        "key": record.key_frame,
        "values": [key.values.get(name) for name in units],
        "reasons": [key.reasons.get(name, "") for name in units],
        "spread": spread if len(record.rows_of_frames) > 1 else [],
        "confidence": key.confidence,
        "flags": record.flags,
        "notes": record.notes,
        "seconds": record.seconds,
        "outputs": record.outputs,
    }
    if identify:
        uids = (record.study_instance_uid, record.series_instance_uid, record.sop_instance_uid)
        row |= {"file": record.file, "patient": dict(record.identity or {}), "uids": uids}
    return {name: _plain(value) for name, value in row.items()}


def _spacing(record: ItemRecord) -> tuple[float, ...] | None:
    """Of rows, columns and, in a volume, slices."""
    if record.spacing_mm is None or record.slice_mm is None:
        return record.spacing_mm
    return *record.spacing_mm, record.slice_mm


def _plain(value: Any) -> Any:
    """Strings without what cannot be seen, numbers that JSON has, and containers of these."""
    if isinstance(value, str):
        return clean(value)
    if isinstance(value, float):
        return float(f"{value:.{DIGITS}g}") if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {clean(name): _plain(each) for name, each in value.items()}
    return [_plain(each) for each in value] if isinstance(value, (tuple, list)) else value
