"""Curves as a table, a row for each group, threshold and smallest size: to look into, and to pool folds."""

from __future__ import annotations

import csv
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from pyraseg.pipeline.trust.curve import RATES, SIZES, THRESHOLDS, Curve
from pyraseg.pipeline.utils.files import write_rows

__all__ = ["TABLE", "read_table", "write_table"]

TABLE = "operating_curve.csv"
SUMS, COUNTS = ({rate: f"{rate}_{kind}" for rate in RATES} for kind in ("sum", "of"))
HEADER = ("class", "unit", "group", "threshold", "smallest", *SUMS.values(), *COUNTS.values())


def write_table(path: Path, curves: Iterable[Curve]) -> Path:
    """Write curves: for each rate its sum over the cases of a group, and the number that it is a share of.

    Raises:
        OutputError: it cannot be written.
    """
    return write_rows(path, HEADER, (row for curve in curves for row in _rows(curve)))


def _rows(curve: Curve) -> Iterator[list[Any]]:
    sizes = SIZES[curve.unit]
    for n, i, j in np.ndindex(len(curve.groups), len(THRESHOLDS), len(sizes)):
        sums = [f"{curve.totals[rate][n, i, j]:.6g}" for rate in RATES]
        counts = [int(curve.counts[rate][n]) for rate in RATES]
        yield [curve.label, curve.unit, curve.groups[n], THRESHOLDS[i], sizes[j], *sums, *counts]


def read_table(path: Path) -> list[Curve]:
    """The curves of `write_table`; groups of several files may be put together with `Curve.join`."""
    with open(path, newline="", encoding="utf-8") as file:
        by_class: dict[tuple[str, str], list[dict[str, str]]] = defaultdict(list)
        for row in csv.DictReader(file):
            by_class[row["class"], row["unit"]].append(row)
    curves = []
    for (label, unit), rows in by_class.items():
        shape = -1, len(THRESHOLDS), len(SIZES[unit])
        groups = tuple(dict.fromkeys(row["group"] for row in rows))
        totals = {r: np.array([float(row[SUMS[r]]) for row in rows]).reshape(shape) for r in RATES}
        counts = {r: np.array([int(row[COUNTS[r]]) for row in rows]).reshape(shape)[:, 0, 0] for r in RATES}
        curves.append(Curve(label, unit, groups, totals, counts))
    return curves
