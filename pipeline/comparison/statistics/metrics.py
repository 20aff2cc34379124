"""The scores of ``cases.csv`` that can be compared, and which way each of them is better."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence

from pyraseg.transforms.errors import UsageError

__all__ = ["choose", "decimals", "higher_is_better", "is_share", "row_values", "title"]

OVERLAPS = ("dice", "iou", "sensitivity", "precision")
DISTANCES = ("hd95", "assd", "surface_dice")
HIGHER = (*OVERLAPS, "surface_dice")
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
    """The scores that a row of ``cases.csv`` has, by name; those with a unit have it in their name.

    Errors of sizes count by their magnitude. ``missed`` is of cases that show the structure,
    ``false_positive`` of those that do not: 0 or 1, whose mean is the rate.

    Raises:
        KeyError, ValueError: the table is none of an evaluation's.
    """
    if int(row["reference_pixels"]) == 0:
        return {"false_positive": float(row["false_positive"])}
    named = {name: name for name in OVERLAPS} | {f"{name}_{row['distance_unit']}": name for name in DISTANCES}
    scores = {name: float(row[column]) for name, column in named.items() if row.get(column)}
    scores |= {"missed": float(row["missed"]), "area_error_pixels": abs(float(row["area_error_pixels"]))}
    if row.get("size_error"):
        scores[f"size_error_{row['size_unit']}"] = abs(float(row["size_error"]))
    return scores


def higher_is_better(metric: str) -> bool:
    """Of overlaps and surface Dice, but not of distances, errors and rates of failure."""
    return metric.startswith(HIGHER)


def is_share(metric: str) -> bool:
    """Whether it lies between 0 and 1."""
    return higher_is_better(metric) or metric in ("missed", "false_positive")


def decimals(metric: str) -> int:
    """How many are shown."""
    return 3 if is_share(metric) else 2


def title(metric: str) -> str:
    """A metric as one writes it, such as "HD95, mm"."""
    named = (name for name in TITLES if metric == name or metric.startswith(f"{name}_"))
    base = next(named, metric)
    unit = metric[len(base) + 1 :]
    unit = {"mm2": "mm²"}.get(unit, unit)
    return TITLES.get(base, base.replace("_", " ")) + (f", {unit}" if unit else "")


def choose(asked: Iterable[str], known: Sequence[str]) -> list[str]:
    """The metrics asked for, each under its full name: ``hd95`` stands for ``hd95_mm`` and ``hd95_px``.

    Raises:
        UsageError: the runs have none of this name.
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
