"""The tables of a batch as CSV, safe to open in a spreadsheet, and its manifest as JSON."""

from __future__ import annotations

import json
import math
import re
import statistics
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pyraseg.pipeline.utils.files import atomic_write, write_rows
from pyraseg.pipeline.writers.tables.item_records import Failure, FrameRecord, ItemRecord, LeftOut
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
]

IDENTITY = ("patient_name", "patient_id", "birth_date")
UIDS = ("study_instance_uid", "series_instance_uid", "sop_instance_uid")
UNITS = {"%": "percent", "[hnsf'U]": "HU"}
DECIMALS = 6
ENDS = ("low", "high")


def write_results(
    path: str | Path,
    records: Iterable[ItemRecord],
    *,
    units: Mapping[str, str],
    identify: bool = False,
    volumes: bool = False,
) -> Path:
    """Write ``results.csv``: a row for each item, with the quantities of its key frame or of its volume.

    Frames count from 0. A quantity's column is its name and unit, such as ``kidney_area_mm2``; for a cine,
    columns that end in ``_median`` and ``_max`` are over its frames. Cells of absent quantities are empty,
    and so is ``searched_mm`` where the whole volume was searched. ``NAME_UNIT_low`` and ``_high`` are the
    quantity's interval, empty where the checkpoint has none.

    Args:
        records: read one by one; may be a generator.
        units: the unit (UCUM) of each quantity by name, in the order of the columns.
        identify: add the patient's name, ID and birth date.
        volumes: the items are volumes, and their frames are slices.

    Raises:
        OutputError: the file cannot be written.
    """
    columns = [column(name, unit) for name, unit in units.items()]
    spread = () if volumes else ("median", "max")
    header = [
        *("case", *(IDENTITY if identify else ()), "file", *UIDS, "slices" if volumes else "frames"),
        *("rows", "columns", "spacing_row_mm", "spacing_column_mm"),
        *(
            ("spacing_slice_mm", "spacing_source", "searched_mm")
            if volumes
            else ("spacing_source", "key_frame")
        ),
        *columns,
        *(f"{name}_{kind}" for name in columns for kind in spread),
        *(f"{name}_{end}" for name in columns for end in ENDS),
        *("confidence", "unlike", "expected_dice", "flags", "notes", "seconds", "outputs"),
    ]
    return _write(path, header, (_result(record, units, identify, volumes) for record in records))


def write_frames(path: str | Path, records: Iterable[ItemRecord], *, units: Mapping[str, str]) -> Path:
    """Write ``frames.csv``: a row for each frame, counted from 0, of each item; arguments as `write_results`.

    Raises:
        OutputError: the file cannot be written.
    """
    columns = [column(name, unit) for name, unit in units.items()]
    limits = [f"{name}_{end}" for name in columns for end in ENDS]
    warned = ("confidence", "unlike", "expected_dice", "flags")
    header = ["case", "file", "frame", *columns, *limits, *warned]
    rows = (
        [
            *(record.case, record.file, f.frame),
            *(*_values(f, units), *_limits(f, units)),
            *(f.confidence, f.unlike, f.quality, "; ".join(f.flags)),
        ]
        for record in records
        for f in record.rows_of_frames
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
    """A quantity's column: its name and UCUM unit in letters that code can use, such as ``harp_ratio``.

    An annotation in braces counts only where it is the whole unit.
    """
    plain = re.sub(r"\{.*?\}", "", unit) or unit.strip("{}")
    words = UNITS.get(plain, plain).replace("/", "_per_")
    return "_".join(part for part in (name, re.sub(r"\W+", "_", words).strip("_")) if part)


def median_and_maximum(record: ItemRecord, name: str) -> tuple[float | None, float | None]:
    """A quantity's median and maximum over the frames of a cine that have it; None for one frame."""
    frames = record.rows_of_frames
    numbers = [value for frame in frames if (value := frame.values.get(name)) is not None]
    return (statistics.median(numbers), max(numbers)) if len(frames) > 1 and numbers else (None, None)


def searched_box(bounds: Sequence[float]) -> str:
    """A box in words: x from, to, y from, to, z from, to."""
    pairs = zip("xyz", bounds[::2], bounds[1::2], strict=True)
    return ", ".join(f"{axis} {low:g} to {high:g}" for axis, low, high in pairs)


def _write(path: str | Path, header: Sequence[str], rows: Iterable[Sequence[Any]]) -> Path:
    return write_rows(path, map(_cell, header), (map(_cell, row) for row in rows))


def _cell(value: Any) -> Any:
    """Numbers, negative ones too, stay numbers; None becomes empty."""
    if isinstance(value, str):
        return neutralise(value)
    if isinstance(value, float):
        return round(value, DECIMALS) if math.isfinite(value) else None
    return value


def _values(frame: FrameRecord, units: Mapping[str, str]) -> list[float | None]:
    return [frame.values.get(name) for name in units]


def _limits(frame: FrameRecord, units: Mapping[str, str]) -> list[float | None]:
    return [value for name in units for value in frame.intervals.get(name, (None, None))]


def _result(record: ItemRecord, units: Mapping[str, str], identify: bool, volumes: bool) -> list[Any]:
    identity = record.identity or {}
    rows, columns = record.spacing_mm or (None, None)
    searched = None if record.searched_mm is None else searched_box(record.searched_mm)
    spread = [] if volumes else [value for name in units for value in median_and_maximum(record, name)]
    flags, notes, outputs = map("; ".join, (record.flags, record.notes, record.outputs))
    return [
        *(record.case, *(identity.get(name, "") for name in IDENTITY if identify), record.file),
        *(record.study_instance_uid, record.series_instance_uid, record.sop_instance_uid),
        *(record.frames, record.rows, record.columns, rows, columns, *([record.slice_mm] if volumes else ())),
        *(record.spacing_source, searched if volumes else record.key_frame),
        *(*_values(record.key, units), *spread, *_limits(record.key, units)),
        *(
            record.key.confidence,
            record.key.unlike,
            record.key.quality,
            flags,
            notes,
            record.seconds,
            outputs,
        ),
    ]
