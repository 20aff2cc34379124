"""The tables of a batch as CSV, and its manifest as JSON: written row by row, safe to open in a
spreadsheet."""

from __future__ import annotations

import csv
import json
import math
import re
import statistics
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pyraseg.pipeline.utils.files import atomic_write
from pyraseg.pipeline.writers.tables.records import Failure, FrameRecord, ItemRecord, LeftOut
from pyraseg.pipeline.writers.tables.text import neutralise

__all__ = [
    "column",
    "median_and_maximum",
    "searched_box",
    "write_failures",
    "write_frames",
    "write_left_out",
    "write_manifest",
    "write_results",
    "write_volume_results",
]

IDENTITY = ("patient_name", "patient_id", "birth_date")
UIDS = ("study_instance_uid", "series_instance_uid", "sop_instance_uid")
UNITS = {"%": "percent", "[hnsf'U]": "HU"}
DECIMALS = 6


def write_results(
    path: str | Path, records: Iterable[ItemRecord], *, units: Mapping[str, str], identify: bool = False
) -> Path:
    """Write ``results.csv``: a row for each item, its quantities those of its key frame (counted from 0).

    A quantity's column is its name and unit, such as ``kidney_area_mm2``; of a cine the columns that end in
    ``_median`` and ``_max`` are over its frames. A quantity that is absent is an empty cell.

    Args:
        records: read one by one; may be a generator.
        units: the unit (UCUM) of each quantity by name, in the order of the columns.
        identify: add the patient's name, ID and birth date.

    Raises:
        OutputError: the file cannot be written.
    """
    columns = [column(name, unit) for name, unit in units.items()]
    header = [
        *("case", *(IDENTITY if identify else ()), "file", *UIDS, "frames", "rows", "columns"),
        *("spacing_row_mm", "spacing_column_mm", "spacing_source", "key_frame", *columns),
        *(f"{name}_{kind}" for name in columns for kind in ("median", "max")),
        *("confidence", "flags", "notes", "seconds", "outputs"),
    ]
    return _write(path, header, (_result(record, units, identify) for record in records))


def write_volume_results(
    path: str | Path, records: Iterable[ItemRecord], *, units: Mapping[str, str], identify: bool = False
) -> Path:
    """Write ``results.csv`` of volumes: a row for each, its quantities those of the whole; arguments as
    `write_results`.

    ``searched_mm`` is empty where the whole volume was searched.

    Raises:
        OutputError: the file cannot be written.
    """
    header = [
        *("case", *(IDENTITY if identify else ()), "file", *UIDS, "slices", "rows", "columns"),
        *("spacing_row_mm", "spacing_column_mm", "spacing_slice_mm", "spacing_source", "searched_mm"),
        *(column(name, unit) for name, unit in units.items()),
        *("confidence", "flags", "notes", "seconds", "outputs"),
    ]
    return _write(path, header, (_volume_result(record, units, identify) for record in records))


def write_frames(path: str | Path, records: Iterable[ItemRecord], *, units: Mapping[str, str]) -> Path:
    """Write ``frames.csv``: a row for each frame of each item, frames counted from 0; arguments as
    `write_results`.

    Raises:
        OutputError: the file cannot be written.
    """
    columns = (column(name, unit) for name, unit in units.items())
    header = ["case", "file", "frame", *columns, "confidence", "flags"]
    rows = (
        [
            record.case,
            record.file,
            frame.frame,
            *_values(frame, units),
            frame.confidence,
            "; ".join(frame.flags),
        ]
        for record in records
        for frame in record.rows_of_frames
    )
    return _write(path, header, rows)


def write_failures(path: str | Path, failures: Iterable[Failure]) -> Path:
    """Write ``failures.csv``: file, reason, remedy and case.

    Raises:
        OutputError: the file cannot be written.
    """
    rows = ([failure.file, failure.reason, failure.remedy, failure.case] for failure in failures)
    return _write(path, ["file", "reason", "remedy", "case"], rows)


def write_left_out(path: str | Path, left_out: Iterable[LeftOut]) -> Path:
    """Write ``left_out.csv``: file and reason.

    Raises:
        OutputError: the file cannot be written.
    """
    return _write(path, ["file", "reason"], ([each.file, each.reason] for each in left_out))


def write_manifest(path: str | Path, content: Mapping[str, Any]) -> Path:
    """Write ``manifest.json``, keys in order.

    Raises:
        OutputError: the file cannot be written.
        TypeError, ValueError: a value is no JSON, or not finite.
    """
    text = json.dumps(content, indent=1, sort_keys=True, ensure_ascii=False, allow_nan=False)
    with atomic_write(path) as file:
        file.write(text.encode("utf-8", "replace") + b"\n")
    return Path(path)


def column(name: str, unit: str) -> str:
    """A quantity's column: its name and its UCUM unit in letters that code can use, such as ``harp_ratio``.

    An annotation in braces counts only where it is the whole unit.
    """
    plain = re.sub(r"\{.*?\}", "", unit) or unit.strip("{}")
    words = UNITS.get(plain, plain).replace("/", "_per_")
    return "_".join(part for part in (name, re.sub(r"\W+", "_", words).strip("_")) if part)


def median_and_maximum(record: ItemRecord, name: str) -> tuple[float | None, float | None]:
    """A quantity's median and maximum over the frames of a cine that have it; None for a single frame or a
    volume."""
    found = (
        [frame.values.get(name) for frame in record.rows_of_frames] if len(record.rows_of_frames) > 1 else []
    )
    numbers = [value for value in found if value is not None]
    return (statistics.median(numbers), max(numbers)) if numbers else (None, None)


def searched_box(bounds: Sequence[float]) -> str:
    """A box in words: x from, to, y from, to, z from, to."""
    pairs = zip("xyz", bounds[::2], bounds[1::2], strict=True)
    return ", ".join(f"{axis} {low:g} to {high:g}" for axis, low, high in pairs)


def _write(path: str | Path, header: Sequence[str], rows: Iterable[Sequence[Any]]) -> Path:
    with atomic_write(path, "w") as file:
        table = csv.writer(file)
        table.writerow(map(_cell, header))
        table.writerows(map(_cell, row) for row in rows)
    return Path(path)


def _cell(value: Any) -> Any:
    """Numbers stay numbers, a negative one too; empty where there is none."""
    if isinstance(value, str):
        return neutralise(value)
    if isinstance(value, float):
        return round(value, DECIMALS) if math.isfinite(value) else None
    return value


def _values(frame: FrameRecord, units: Mapping[str, str]) -> list[float | None]:
    return [frame.values.get(name) for name in units]


def _result(record: ItemRecord, units: Mapping[str, str], identify: bool) -> list[Any]:
    return [
        *_identified(record, identify),
        *(
            record.frames,
            record.rows,
            record.columns,
            *(record.spacing_mm or (None, None)),
            record.spacing_source,
        ),
        *(record.key_frame, *_values(record.key, units)),
        *(value for name in units for value in median_and_maximum(record, name)),
        *_remarks(record),
    ]


def _volume_result(record: ItemRecord, units: Mapping[str, str], identify: bool) -> list[Any]:
    searched = None if record.searched_mm is None else searched_box(record.searched_mm)
    return [
        *_identified(record, identify),
        *(record.frames, record.rows, record.columns),
        *(*(record.spacing_mm or (None, None)), record.slice_mm, record.spacing_source, searched),
        *_values(record.key, units),
        *_remarks(record),
    ]


def _identified(record: ItemRecord, identify: bool) -> list[Any]:
    identity = record.identity or {}
    names = (identity.get(name, "") for name in IDENTITY if identify)
    return [record.case, *names, record.file, *(getattr(record, name) for name in UIDS)]


def _remarks(record: ItemRecord) -> list[Any]:
    flags, notes, outputs = map("; ".join, (record.flags, record.notes, record.outputs))
    return [record.key.confidence, flags, notes, record.seconds, outputs]
