"""The scores of ``cases.csv`` that can be compared, and whether higher or lower is better."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence

from pyraseg.pipeline.comparison.read.artifacts import finite
from pyraseg.transforms.errors import UsageError

__all__ = ["choose", "decimals", "higher_is_better", "is_share", "row_values", "title"]

OVERLAPS = ("dice", "iou", "sensitivity", "precision")
DISTANCES = ("hd95", "assd", "surface_dice")
LESIONS = ("lesion_sensitivity", "false_positive_lesions")
HIGHER = (*OVERLAPS, "surface_dice", "lesion_sensitivity")
TITLES = {
    "dice": "Dice",
    "iou": "IoU",
    "hd95": "HD95",
    "assd": "ASSD",
    "surface_dice": "surface Dice",
    "size_error": "|size error|",
    "area_error": "|area error|",
}


def row_values(row: Mapping[str, str]) -> dict[str, float]:
    """The scores in a row of ``cases.csv`` by name; the name includes the unit, if any.

    Errors of size count by magnitude. ``missed`` (cases with the structure) and ``false_positive`` (cases
    without) are 0 or 1; their means are the rates. Lesions are those of volumes.

    Raises:
        KeyError, ValueError: the table is not from an evaluation.
    """
    scores = {name: finite(row[name]) for name in LESIONS if row.get(name)}
    if int(row["reference_pixels"]) == 0:
        return {"false_positive": finite(row["false_positive"]), **scores}
    named = {name: name for name in OVERLAPS} | {f"{name}_{row['distance_unit']}": name for name in DISTANCES}
    scores |= {name: finite(row[column]) for name, column in named.items() if row.get(column)}
    scores |= {"missed": finite(row["missed"]), "area_error_pixels": abs(finite(row["area_error_pixels"]))}
    if row.get("size_error"):
        scores[f"size_error_{row['size_unit']}"] = abs(finite(row["size_error"]))
    return scores


def higher_is_better(metric: str) -> bool:
    """True for overlaps and surface Dice, False for distances, errors and failure rates."""
    return metric.startswith(HIGHER)


def is_share(metric: str) -> bool:
    """Whether the metric lies between 0 and 1."""
    return higher_is_better(metric) or metric in ("missed", "false_positive")


def decimals(metric: str) -> int:
    """The number of decimals to show."""
    return 3 if is_share(metric) else 2


def title(metric: str) -> str:
    """The title of a metric, such as "HD95, mm"."""
    named = (name for name in TITLES if metric == name or metric.startswith(f"{name}_"))
    base = next(named, metric)
    unit = metric[len(base) + 1 :]
    unit = {"mm2": "mm²"}.get(unit, unit)
    return TITLES.get(base, base.replace("_", " ")) + (f", {unit}" if unit else "")


def choose(asked: Iterable[str], known: Sequence[str]) -> list[str]:
    """The requested metrics by their full names: ``hd95`` stands for ``hd95_mm`` and ``hd95_px``.

    Raises:
        UsageError: the runs have no such metric.
    """
    chosen: list[str] = []
    for name in asked:
        matches = [metric for metric in known if metric == name or metric.rpartition("_")[0] == name]
        if not matches:
            near = difflib.get_close_matches(name, known, n=3, cutoff=0.3)
            remedy = f"Did you mean {' or '.join(near)}? " if near else ""
            remedy += f"There are {', '.join(known)}." if len(near) < len(known) else ""
            raise UsageError("a metric that every run has", found=repr(name), remedy=remedy.strip())
        chosen += [metric for metric in matches if metric not in chosen]
    return chosen
