"""The files of an evaluation: tables of cases, quantities and confidence, the summary, and a few lines to
read."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pyraseg.pipeline.evaluation.bootstrap import Estimate
from pyraseg.pipeline.evaluation.calibration import CaseConfidence
from pyraseg.pipeline.evaluation.lesions import CaseLesions
from pyraseg.pipeline.evaluation.quantities import QuantityError
from pyraseg.pipeline.evaluation.results import Results
from pyraseg.pipeline.evaluation.scores import CaseScore
from pyraseg.pipeline.utils.files import atomic_write

__all__ = ["report", "write_results", "write_scores"]

CASES = (
    *("case", "group", "class", "dice", "iou", "sensitivity", "precision"),
    *(
        "hd95",
        "assd",
        "surface_dice",
        "distance_unit",
        "reference_pixels",
        "predicted_pixels",
        "area_error_pixels",
    ),
    *("reference_size", "predicted_size", "size_error", "size_unit", "missed", "false_positive"),
)
QUANTITIES = ("case", "group", "quantity", "unit", "predicted", "reference", "error", "reason")
LESIONS = ("case", "group", "class", "kind", "voxels", "volume_ml", "common_voxels", "result")
CONFIDENCE = ("case", "group", "curve", "bin", "pixels", "confidence_sum", "correct")


def write_scores(folder: str | Path, scores: Sequence[CaseScore]) -> tuple[Path, Path]:
    """Write ``cases.csv`` and ``summary.json`` of scores alone; see `write_results`."""
    table, summary = write_results(folder, Results(tuple(scores)))[:2]
    return table, summary


def write_results(folder: str | Path, results: Results) -> list[Path]:
    """Write ``cases.csv`` (a row for each case and class), ``summary.json`` and, where there are such
    records, ``quantities.csv``, ``lesions.csv`` and ``confidence.csv`` into ``folder``.

    Returns:
        Their paths.

    Raises:
        OutputError: ``folder`` cannot be written.
    """
    folder = Path(folder)
    paths = [
        _write_table(folder / "cases.csv", CASES, map(_score_row, results.scores)),
        folder / "summary.json",
    ]
    with atomic_write(paths[1], "w") as file:
        file.write(json.dumps(results.document(), indent=1, allow_nan=False) + "\n")
    if results.quantities:
        paths.append(
            _write_table(folder / "quantities.csv", QUANTITIES, map(_quantity_row, results.quantities))
        )
    if results.lesions:
        lesions = (row for record in results.lesions for row in _lesion_rows(record))
        paths.append(_write_table(folder / "lesions.csv", LESIONS, lesions))
    if results.confidences:
        rows = (row for record in results.confidences for row in _confidence_rows(record))
        paths.append(_write_table(folder / "confidence.csv", CONFIDENCE, rows))
    return paths


def report(results: Results) -> str:
    """A short table for the log: a line for each score and quantity, means over groups with their intervals
    first."""
    cases, groups = (
        len({score.case for score in results.scores}),
        len({score.group for score in results.scores}),
    )
    lines = [f"{cases} cases of {groups} groups", _line("", "groups", "95 % interval", "frames", "cases")]
    for name, summary in results.classes.items():
        lines.append(
            f"{name}: in {summary.present} cases, missed in {summary.missed}; "
            f"found in {summary.false_positives} of {summary.absent} without it"
        )
        lines += [_estimate(m, value) for m, value in summary.metrics.items() if not m.endswith("_pixels")]
    if any(summary.error.cases for summary in results.measured.values()):
        lines.append("mean absolute error of quantities")
    for name, measured in results.measured.items():
        if measured.error.cases:
            lines.append(_estimate(f"{name}, {measured.unit}", measured.absolute_error))
    for name, found in results.detection.items():
        lines.append(f"{name}: {found.detected} of {found.lesions} lesions detected")
        lines += [_estimate("lesion sensitivity", found.sensitivity)] if found.lesions else []
        lines.append(_estimate("false positive lesions in a case", found.false_positives))
    if results.reliability:
        errors = (f"{curve.name} {curve.error:.4f}" for curve in results.reliability)
        lines.append(f"calibration error: {', '.join(errors)}")
    return "\n".join(lines)


def _estimate(name: str, value: Estimate) -> str:
    interval = f"{value.low:.3f} to {value.high:.3f}" if np.isfinite(value.low) else "none"
    return _line(name, f"{value.group_mean:.3f}", interval, f"{value.frame_mean:.3f}", str(value.cases))


def _line(name: str, groups: str, interval: str, frames: str, cases: str) -> str:
    return f"  {name:<36}{groups:>10}{interval:>24}{frames:>10}{cases:>7}"


def _write_table(path: Path, header: Sequence[str], rows: Iterable[Sequence[Any]]) -> Path:
    with atomic_write(path, "w") as file:
        table = csv.writer(file)
        table.writerow(header)
        table.writerows([_cell(value) for value in row] for row in rows)
    return path


def _cell(value: Any) -> Any:
    """Numbers with six decimals; empty where there is none."""
    if isinstance(value, float):
        return f"{value:.6f}" if np.isfinite(value) else ""
    return "" if value is None else int(value) if isinstance(value, bool) else value


def _score_row(score: CaseScore) -> list[Any]:
    s = score.surfaces
    sizes = [score.size(n) for n in (score.reference_pixels, score.predicted_pixels)]
    return [
        *(score.case, score.group, score.label, score.dice, score.iou, score.sensitivity, score.precision),
        *((s.hd95, s.assd, s.surface_dice, s.unit) if s else (None, None, None, "")),
        *(score.reference_pixels, score.predicted_pixels, score.predicted_pixels - score.reference_pixels),
        *(*sizes, sizes[1] - sizes[0], score.size_unit, score.missed, score.false_positive),
    ]


def _quantity_row(row: QuantityError) -> list[Any]:
    values = row.predicted.value, row.reference.value, row.error
    return [row.case, row.group, row.reference.name, row.reference.unit, *values, row.reason]


def _lesion_rows(record: CaseLesions) -> Iterable[list[Any]]:
    hits = zip(record.reference, record.detected, strict=True)
    rows = [("reference", lesion, "detected" if hit else "missed") for lesion, hit in hits]
    rows += [
        ("predicted", lesion, "on a lesion" if lesion.common else "false positive")
        for lesion in record.predicted
    ]
    for kind, lesion, result in rows:
        volume = None if record.voxel_ml is None else lesion.voxels * record.voxel_ml
        yield [record.case, record.group, record.label, kind, lesion.voxels, volume, lesion.common, result]


def _confidence_rows(record: CaseConfidence) -> Iterable[list[Any]]:
    """Filled bins only: most are empty."""
    for curve, index in zip(*np.nonzero(record.pixels), strict=True):
        place = (curve, index)
        counts = int(record.pixels[place]), float(record.confidence[place]), int(record.correct[place])
        yield [record.case, record.group, record.names[curve], int(index), *counts]
