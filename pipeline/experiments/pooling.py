"""Pool all folds: every case once, the spread over folds, and means over all groups."""

from __future__ import annotations

import csv
import json
import statistics
from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from pyraseg.pipeline.evaluation.scores import DISTANCES, OVERLAPS
from pyraseg.pipeline.evaluation.summary import (
    ClassSummary,
    Counted,
    flatten,
    mean_dice,
    plain,
    summarise_classes,
)
from pyraseg.pipeline.utils.files import write_json, write_rows
from pyraseg.pipeline.utils.groups import note_on_groups
from pyraseg.transforms.errors import DatalistError

__all__ = ["TEST", "pool", "read_rows", "write_pooled"]

TEST = "test"  # the split, and the folder of the ensemble's evaluation on it
RESAMPLES = 2000
LESIONS = ("lesion_sensitivity", "false_positive_lesions")
ERRORS = {"mm2": "area_error_mm2", "ml": "volume_error_ml"}

Row = dict[str, str]


def read_rows(folders: Mapping[int, Path], cases: Mapping[int, Collection[str]]) -> list[Row]:
    """The rows of the ``cases.csv`` of each fold's evaluation, with the column ``fold`` first.

    Args:
        folders: of the evaluations, by fold.
        cases: the cases to measure, by fold.

    Raises:
        DatalistError: a case of these folds is not measured, or twice in one class.
    """
    rows: list[Row] = []
    for fold, folder in folders.items():
        with open(folder / "cases.csv", newline="", encoding="utf-8") as file:
            rows += [{"fold": str(fold), **row} for row in csv.DictReader(file)]
    wanted = {case for fold in folders for case in cases[fold]}
    measured = {row["case"] for row in rows}
    counts = Counter((row["case"], row["class"]) for row in rows)
    twice = sum(number > 1 for number in counts.values())
    if measured != wanted or twice:
        missing, unknown = len(wanted - measured), len(measured - wanted)
        raise DatalistError(
            "every case of the folds measured once",
            found=f"{missing} not measured, {unknown} of no fold, {twice} rows twice",
            remedy="The datalist has changed since; begin anew in another --output.",
        )
    return rows


def pool(rows: Sequence[Row]) -> dict[str, Any]:
    """The content of ``summary.json``.

    Returns:
        ``over_folds``: for each number of an evaluation its mean over the folds, its standard deviation
        and its values (null where a fold has none). ``pooled``: the same scores over all cases, as means over
        groups with bootstrap intervals over groups.
    """
    by_fold: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        by_fold[row["fold"]].append(row)
    numbers = [plain(flatten(_summarise(part))) for part in by_fold.values()]
    names = dict.fromkeys(name for each in numbers for name in each)
    classes = _summarise(rows, resamples=RESAMPLES)
    note = note_on_groups({row["group"] for row in rows})
    return {
        "notes": [note] if note else [],
        "folds": [int(fold) for fold in by_fold],
        "cases": len({row["case"] for row in rows}),
        "groups": len({row["group"] for row in rows}),
        "over_folds": {name: _spread([each.get(name) for each in numbers]) for name in names},
        "pooled": {
            **plain({"mean_dice": mean_dice(classes)}),
            "classes": {name: summary.document() for name, summary in classes.items()},
        },
    }


def _spread(values: list[float | None]) -> dict[str, Any]:
    known = [value for value in values if value is not None]
    mean = statistics.fmean(known) if known else None
    return {"mean": mean, "sd": statistics.stdev(known) if len(known) > 1 else None, "values": values}


def _summarise(rows: Sequence[Row], *, resamples: int = 0) -> dict[str, ClassSummary]:
    counted = (
        Counted(
            row["class"],
            row["group"],
            int(row["reference_pixels"]) > 0,
            int(row["predicted_pixels"]) > 0,
            _scores(row),
        )
        for row in rows
    )
    return summarise_classes(counted, resamples=resamples, seed=0)


def _scores(row: Row) -> dict[str, float]:
    """The scores of a row under the names of an evaluation's summary, and those of lesions."""
    names = {name: name for name in LESIONS}
    if int(row["reference_pixels"]):
        names |= {name: name for name in (*OVERLAPS, "area_error_pixels")}
        names |= {name: f"{name}_{row['distance_unit']}" for name in DISTANCES}
        names |= {"size_error": ERRORS.get(row.get("size_unit", ""), "")}
    return {score: float(row[column]) for column, score in names.items() if row.get(column)}


def write_pooled(folder: Path, rows: Sequence[Row], summary: Mapping[str, Any]) -> tuple[Path, Path]:
    """Write ``cases.csv`` and ``summary.json``, with the ensemble's scores, and return their paths.

    Raises:
        OutputError: ``folder`` cannot be written.
    """
    table = write_rows(folder / "cases.csv", rows[0], ([row[name] for name in rows[0]] for row in rows))
    test = folder / TEST / "summary.json"
    content = {**summary, "test": json.loads(test.read_text(encoding="utf-8")) if test.is_file() else None}
    return table, write_json(folder / "summary.json", content)
