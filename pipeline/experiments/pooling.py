"""All folds together: every case once, the spread over the folds, and means over all groups."""

from __future__ import annotations

import csv
import json
import statistics
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pyraseg.pipeline.evaluation.bootstrap import estimate
from pyraseg.pipeline.evaluation.summary import ClassSummary, flatten, mean_dice, plain
from pyraseg.pipeline.experiments.cross_validation_plan import EVALUATION, TEST, Plan
from pyraseg.pipeline.utils.files import atomic_write
from pyraseg.transforms.errors import DatalistError

__all__ = ["pool", "read_rows", "write_pooled"]

RESAMPLES = 2000
OVERLAPS = ("dice", "iou", "sensitivity", "precision")
DISTANCES = ("hd95", "assd", "surface_dice")

Row = dict[str, str]


def read_rows(plan: Plan, folds: Sequence[int]) -> list[Row]:
    """The rows of the ``cases.csv`` of these folds' evaluations, with the column ``fold`` first.

    Raises:
        DatalistError: a case of these folds is not measured, or measured twice in one class.
    """
    rows: list[Row] = []
    for fold in folds:
        with open(plan.folder(fold) / EVALUATION / "cases.csv", newline="", encoding="utf-8") as file:
            rows += [{"fold": str(fold), **row} for row in csv.DictReader(file)]
    wanted = {case for fold in folds for case in plan.cases[fold]}
    found = {row["case"] for row in rows}
    twice = [
        key for key, number in Counter((row["case"], row["class"]) for row in rows).items() if number > 1
    ]
    if found != wanted or twice:
        raise DatalistError(
            "every case of the folds measured once",
            found=f"{len(wanted - found)} not measured, {len(found - wanted)} of no fold, {len(twice)} rows twice",
            remedy="The datalist has changed since; begin anew in another --output.",
        )
    return rows


def pool(rows: Sequence[Row], *, seed: int = 0) -> dict[str, Any]:
    """The content of ``summary.json``.

    Returns:
        ``over_folds``: for each number of an evaluation its mean, its sample standard deviation and its
            values over the
        folds (null where a fold has none); ``pooled``: the same scores over all cases at once, as means over
        groups with intervals from a bootstrap over groups.
    """
    by_fold: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        by_fold[row["fold"]].append(row)
    numbers = [plain(flatten(_classes(part))) for part in by_fold.values()]
    names = dict.fromkeys(name for each in numbers for name in each)
    classes = _classes(rows, resamples=RESAMPLES, seed=seed)
    return {
        "folds": [int(fold) for fold in by_fold],
        "cases": len({row["case"] for row in rows}),
        "groups": len({row["group"] for row in rows}),
        "over_folds": {name: _spread([each.get(name) for each in numbers]) for name in names},
        "pooled": {
            **plain({"mean_dice": mean_dice(classes)}),
            "classes": {name: summary.document() for name, summary in classes.items()},
        },
    }


def write_pooled(folder: Path, rows: Sequence[Row], summary: Mapping[str, Any]) -> tuple[Path, Path]:
    """Write ``cases.csv`` and ``summary.json`` and return their paths.

    Raises:
        OutputError: ``folder`` cannot be written.
    """
    table, document = folder / "cases.csv", folder / "summary.json"
    with atomic_write(table, "w") as file:
        writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    test = folder / TEST / "summary.json"
    content = {**summary, "test": json.loads(test.read_text(encoding="utf-8")) if test.is_file() else None}
    with atomic_write(document, "w") as file:
        file.write(json.dumps(content, indent=1, allow_nan=False) + "\n")
    return table, document


def _spread(values: Sequence[float | None]) -> dict[str, Any]:
    known = [value for value in values if value is not None]
    mean = statistics.fmean(known) if known else None
    return {"mean": mean, "sd": statistics.stdev(known) if len(known) > 1 else None, "values": list(values)}


def _classes(rows: Sequence[Row], *, resamples: int = 0, seed: int = 0) -> dict[str, ClassSummary]:
    by_class: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        by_class[row["class"]].append(row)
    return {name: _class(name, part, resamples=resamples, seed=seed) for name, part in by_class.items()}


def _class(name: str, rows: Sequence[Row], *, resamples: int, seed: int) -> ClassSummary:
    columns: dict[str, list[tuple[float, str]]] = {"dice": []}
    for row in rows:
        for score, value in _scores(row).items():
            columns.setdefault(score, []).append((value, row["group"]))
    present = sum(int(row["reference_pixels"]) > 0 for row in rows)
    return ClassSummary(
        name,
        present=present,
        absent=len(rows) - present,
        missed=sum(int(row["missed"]) for row in rows),
        false_positives=sum(int(row["false_positive"]) for row in rows),
        metrics={
            score: estimate([v for v, _ in column], [g for _, g in column], resamples=resamples, seed=seed)
            for score, column in columns.items()
        },
    )


def _scores(row: Row) -> dict[str, float]:
    """The scores that a row has, named as an evaluation's summary names them: distances with their unit."""
    named = {score: score for score in OVERLAPS} | {
        score: f"{score}_{row['distance_unit']}" for score in DISTANCES
    }
    return {name: float(row[column]) for column, name in named.items() if row[column]}
