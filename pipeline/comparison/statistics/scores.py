"""Estimates of arms, paired differences, subgroups and the cases to look at, from a `ScoreTable`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import combinations

import numpy as np

from pyraseg.pipeline.comparison.statistics.metrics import higher_is_better
from pyraseg.pipeline.comparison.statistics.results import ArmScore, CaseNote, Difference, Subgroup
from pyraseg.pipeline.comparison.statistics.score_table import Key, ScoreTable
from pyraseg.pipeline.comparison.statistics.tests import group_means, holm, median_interval, signed_rank
from pyraseg.pipeline.evaluation.bootstrap import Estimate, estimate

__all__ = ["adjust", "differences", "most_different", "pairs", "subgroups", "summaries", "worst_cases"]

SIZES = ("small", "middle", "large")
WORST = 5
NAN = float("nan")


def summaries(table: ScoreTable, metrics: Sequence[str], *, resamples: int, seed: int) -> Iterator[ArmScore]:
    """Every metric of every class and arm that is defined anywhere."""
    for label in table.labels:
        for metric in metrics:
            for arm in table.values:
                values, names = group_means(table.mean(arm, (label, metric)), table.groups)
                if not len(values):
                    continue
                runs = table.values[arm][label, metric]
                found = _estimate(values, names, resamples, seed)
                yield ArmScore(
                    label,
                    metric,
                    arm,
                    mean=found.group_mean,
                    interval=(found.low, found.high),
                    median=found.median,
                    median_interval=median_interval(values, resamples=resamples, seed=seed),
                    seeds=tuple(_mean(group_means(run, table.groups)[0]) for run in runs),
                    values=values,
                    cases=int(np.isfinite(table.mean(arm, (label, metric))).sum()),
                )


def pairs(arms: Sequence[str], *, baseline: bool) -> list[tuple[str, str]]:
    """(arm, against): all pairs, the later against the earlier, or all others against the first."""
    return [(b, a) for a, b in combinations(arms, 2) if not baseline or a == arms[0]]


def differences(
    table: ScoreTable,
    metrics: Sequence[str],
    compared: Sequence[tuple[str, str]],
    *,
    resamples: int,
    seed: int,
) -> list[Difference]:
    """Paired differences over groups with their tests, Holm's correction over all of them."""
    found = [
        difference
        for metric in metrics
        for label in table.labels
        for arm, against in compared
        if (difference := _difference(table, (label, metric), arm, against, resamples=resamples, seed=seed))
        is not None
    ]
    return adjust(found)


def adjust(found: Sequence[Difference]) -> list[Difference]:
    """One family: whatever is tested on a page."""
    return [replace(d, adjusted=p) for d, p in zip(found, holm([d.p for d in found]), strict=True)]


def _difference(
    table: ScoreTable, key: Key, arm: str, against: str, *, resamples: int, seed: int
) -> Difference | None:
    by_case = table.mean(arm, key) - table.mean(against, key)
    values, names = group_means(by_case, table.groups)
    if not len(values):
        return None
    found, test = _estimate(values, names, resamples, seed), signed_rank(values)
    better = values if higher_is_better(key[1]) else -values
    return Difference(
        *key,
        arm,
        against,
        mean=found.group_mean,
        interval=(found.low, found.high),
        median=found.median,
        wins=int((better > 0).sum()),
        ties=int((values == 0).sum()),
        losses=int((better < 0).sum()),
        effect=test.effect,
        p=test.p,
        values=values,
        cases=int(np.isfinite(by_case).sum()),
        of_seeds=tuple(
            _mean(group_means(each, table.groups)[0]) for each in table.of_seeds(arm, against, key)
        ),
    )


def subgroups(
    table: ScoreTable, metric: str, compared: Sequence[tuple[str, str]], *, resamples: int, seed: int
) -> Iterator[Subgroup]:
    """The paired difference by the size of the structure, and by each other factor."""
    for label in table.labels:
        factors = {"size": _terciles(table, label), **table.factors}
        for factor, levels in factors.items():
            for level in dict.fromkeys(sorted(levels, key=_order)):
                if level:
                    part = levels == level
                    for arm, against in compared:
                        yield from _subgroup(
                            table, (label, metric), part, (factor, level), (arm, against), resamples, seed
                        )


def _subgroup(
    table: ScoreTable,
    key: Key,
    part: np.ndarray,
    which: tuple[str, str],
    compared: tuple[str, str],
    resamples: int,
    seed: int,
) -> Iterator[Subgroup]:
    one, other = (np.where(part, table.mean(arm, key), NAN) for arm in compared)
    both = np.isfinite(one) & np.isfinite(other)
    if not both.any():
        return
    values, names = group_means(one - other, table.groups)
    found = _estimate(values, names, resamples, seed)
    means = [_mean(group_means(np.where(both, each, NAN), table.groups)[0]) for each in (one, other)]
    yield Subgroup(
        *key,
        *which,
        *compared,
        means=(means[0], means[1]),
        difference=found.group_mean,
        interval=(found.low, found.high),
        cases=int(both.sum()),
        groups=len(values),
    )


def _terciles(table: ScoreTable, label: str) -> np.ndarray:
    """The size of each case's structure in thirds, every group weighing the same; empty where it does not
    show."""
    sizes, unit = table.sizes[label]
    levels = np.full(len(sizes), "", dtype=object)
    shown = sizes > 0
    if not shown.any():
        return levels
    _, member, counts = np.unique(table.groups[shown], return_inverse=True, return_counts=True)
    low, high = np.quantile(sizes[shown], [1 / 3, 2 / 3], weights=1 / counts[member], method="inverted_cdf")
    names = (
        f"{SIZES[0]}, up to {_size(low)} {unit}",
        f"{SIZES[1]}, up to {_size(high)} {unit}",
        f"{SIZES[2]}, above {_size(high)} {unit}",
    )
    for index, (name, part) in enumerate(
        zip(names, (sizes <= low, (sizes > low) & (sizes <= high), sizes > high), strict=True)
    ):
        levels[shown & part] = f"{index}\t{name}"
    return levels


def _size(value: float) -> str:
    """Whole where it is large; a lesion of 0.15 ml is not one of 0."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _order(level: str) -> tuple[int, str]:
    return (0, level) if "\t" in level else (1, level)


def worst_cases(table: ScoreTable, metric: str) -> Iterator[CaseNote]:
    """Of each class and arm the cases that it does worst in, one a group, with what the other arms have
    there."""
    for label in table.labels:
        means = {arm: table.mean(arm, (label, metric)) for arm in table.values}
        for arm, values in means.items():
            order = values if higher_is_better(metric) else -values
            for index in _one_a_group(np.argsort(order, kind="stable"), table, np.isfinite(values), WORST):
                shown = {name: float(each[index]) for name, each in means.items()}
                yield CaseNote(label, metric, arm, str(table.cases[index]), str(table.groups[index]), shown)


def most_different(table: ScoreTable, metric: str, *, count: int) -> list[str]:
    """The cases in which the arms lie furthest apart in any class, one a group."""
    if count < 1:
        return []
    stacks = [np.stack([table.mean(arm, (label, metric)) for arm in table.values]) for label in table.labels]
    spreads = np.stack(
        [np.where(np.isfinite(s).all(axis=0), s.max(axis=0) - s.min(axis=0), 0) for s in stacks]
    )
    apart = spreads.max(axis=0)
    return [
        str(table.cases[i]) for i in _one_a_group(np.argsort(-apart, kind="stable"), table, apart > 0, count)
    ]


def _one_a_group(order: np.ndarray, table: ScoreTable, allowed: np.ndarray, count: int) -> list[int]:
    chosen: dict[str, int] = {}
    for index in order:
        if allowed[index] and len(chosen) < count:
            chosen.setdefault(str(table.groups[index]), int(index))
    return list(chosen.values())


def _mean(values: np.ndarray) -> float:
    return float(values.mean()) if len(values) else NAN


def _estimate(values: np.ndarray, names: np.ndarray, resamples: int, seed: int) -> Estimate:
    """Of one value a group."""
    return estimate(values.tolist(), names.tolist(), resamples=resamples, seed=seed)
