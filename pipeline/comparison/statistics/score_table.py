"""The scores of arms as arrays over the same cases."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from pyraseg.pipeline.comparison.read.runs import Arm
from pyraseg.pipeline.comparison.statistics.metrics import row_values
from pyraseg.pipeline.evaluation.result_files import CASES
from pyraseg.transforms.errors import InputError

__all__ = ["FEW_LEVELS", "Key", "ScoreTable"]

FEW_LEVELS = 12
NAN = float("nan")
Key = tuple[str, str]  # class and metric


@dataclass(frozen=True, eq=False)
class ScoreTable:
    """All scores on one list of cases.

    Attributes:
        cases, groups: (N,) names, sorted by case.
        values: by arm, class and metric: (runs, N), NaN where the metric is not defined.
        sizes: by class: the size of the reference in each case (N,), and its unit.
        factors: other columns with a few levels that divide the cases, by class: (N,).
        seeds: of each arm's runs, in the order of ``values``.
    """

    cases: np.ndarray
    groups: np.ndarray
    values: Mapping[str, Mapping[Key, np.ndarray]]
    sizes: Mapping[str, tuple[np.ndarray, str]]
    factors: Mapping[str, np.ndarray]
    seeds: Mapping[str, tuple[str, ...]]

    @property
    def labels(self) -> tuple[str, ...]:
        return tuple(self.sizes)

    def metrics(self) -> list[str]:
        """The metrics that every run has."""
        runs = [table for arm in self.values.values() for table in arm]
        names = dict.fromkeys(metric for _, metric in runs)
        return [name for name in names if all(any(m == name for _, m in arm) for arm in self.values.values())]

    def mean(self, arm: str, key: Key) -> np.ndarray:
        """The mean over the arm's runs, (N,); NaN where no run has a value."""
        array = self.values[arm].get(key)
        if array is None:
            return np.full(len(self.cases), NAN)
        known = np.isfinite(array)
        number = known.sum(axis=0)
        return np.where(number > 0, np.where(known, array, 0).sum(axis=0) / np.maximum(number, 1), NAN)

    def of_seeds(self, arm: str, against: str, key: Key) -> Iterator[np.ndarray]:
        """The difference of two arms by case (N,) for each seed, where both have the same, one run each."""
        seeds = self.seeds[arm]
        paired = all(seeds) and len(set(seeds)) == len(seeds) and sorted(seeds) == sorted(self.seeds[against])
        one, other = self.values[arm].get(key), self.values[against].get(key)
        if paired and one is not None and other is not None:
            yield from (one[at] - other[self.seeds[against].index(seed)] for at, seed in enumerate(seeds))

    @classmethod
    def of(cls, arms: Sequence[Arm], *, factors: Mapping[str, Mapping[str, str]] | None = None) -> ScoreTable:
        """Line up the tables of comparable runs; ``factors`` adds levels by name and case or group.

        A factor with many levels, such as an age or a name, is left out.

        Raises:
            InputError: ``factors`` name none of the cases and groups.
        """
        rows = arms[0].runs[0].scores
        groups = {row["case"]: row["group"] for row in rows}
        cases = sorted(groups)
        order = {case: index for index, case in enumerate(cases)}
        labels = list(dict.fromkeys(row["class"] for row in rows))
        values = {arm.name: _arm_values(arm, order) for arm in arms}
        names = np.array([groups[case] for case in cases])
        given = _given(factors or {}, cases=cases, groups=groups)
        sizes = {label: _sizes([row for row in rows if row["class"] == label], order) for label in labels}
        seeds = {arm.name: tuple(run.seed for run in arm.runs) for arm in arms}
        return cls(np.array(cases), names, values, sizes, _columns(rows, order) | given, seeds)


def _arm_values(arm: Arm, order: Mapping[str, int]) -> dict[Key, np.ndarray]:
    tables: list[dict[Key, np.ndarray]] = []
    for run in arm.runs:
        table: dict[Key, np.ndarray] = {}
        for row in run.scores:
            for metric, value in row_values(row).items():
                key = row["class"], metric
                table.setdefault(key, np.full(len(order), NAN))[order[row["case"]]] = value
        tables.append(table)
    shared = [key for key in tables[0] if all(any(key[1] == k[1] for k in table) for table in tables)]
    nothing = np.full(len(order), NAN)
    return {key: np.stack([table.get(key, nothing) for table in tables]) for key in shared}


def _sizes(rows: Sequence[Mapping[str, str]], order: Mapping[str, int]) -> tuple[np.ndarray, str]:
    """Sizes in mm2 or ml where every case is calibrated, else in pixels."""
    calibrated = all(row.get("reference_size") for row in rows)
    sizes = np.zeros(len(order))
    for row in rows:
        sizes[order[row["case"]]] = float(row["reference_size" if calibrated else "reference_pixels"])
    return sizes, rows[0]["size_unit"].replace("mm2", "mm²") if calibrated else "px"


def _given(
    factors: Mapping[str, Mapping[str, str]], *, cases: Sequence[str], groups: Mapping[str, str]
) -> dict[str, np.ndarray]:
    known = {*cases, *groups.values()}
    if factors and not any(known & {*of} for of in factors.values()):
        raise InputError(
            "a table of subgroups with the cases or groups of the runs",
            found="none of them",
            remedy="Name them as cases.csv does, which may be by keyed hashes.",
        )
    columns = {
        name: np.array([of.get(c, of.get(groups[c], "")) for c in cases]) for name, of in factors.items()
    }
    return {name: column for name, column in columns.items() if len(set(column) - {""}) <= FEW_LEVELS}


def _columns(rows: Sequence[Mapping[str, str]], order: Mapping[str, int]) -> dict[str, np.ndarray]:
    """Columns with a few levels that evaluations do not write, such as a fold or a scanner."""
    columns: dict[str, np.ndarray] = {}
    for name in (name for name in rows[0] if name not in CASES):
        column = np.full(len(order), "", dtype=object)
        for row in rows:
            column[order[row["case"]]] = row.get(name) or ""
        if 1 < len(set(column)) <= FEW_LEVELS:
            columns[name] = column.astype(str)
    return columns
