"""Estimates of arms, paired differences, subgroups and the cases to look at, from a `ScoreTable`.

``drawn`` are the ``resamples`` and the ``seed`` of the bootstrap over groups.
"""

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

__all__ = ["differences", "most_different", "pairs", "subgroups", "summaries", "worst_cases"]

WORST = 5
NAN = float("nan")


def summaries(table: ScoreTable, metrics: Sequence[str], **drawn: int) -> Iterator[ArmScore]:
    """Estimates of every metric of every class and arm that is defined anywhere."""
    for key in ((label, metric) for label in table.labels for metric in metrics):
        for arm in table.values:
            by_case = table.mean(arm, key)
            values, estimated = _over_groups(by_case, table, **drawn)
            if len(values):
                yield ArmScore(
                    *key,
                    arm,
                    mean=estimated.group_mean,
                    interval=(estimated.low, estimated.high),
                    median=estimated.median,
                    median_interval=median_interval(values, **drawn),
                    seeds=tuple(_mean(run, table) for run in table.values[arm][key]),
                    values=values,
                    cases=int(np.isfinite(by_case).sum()),
                )


def pairs(arms: Sequence[str], *, baseline: bool) -> list[tuple[str, str]]:
    """(arm, against): all pairs, the later arm against the earlier; or all others against the first."""
    return [(b, a) for a, b in combinations(arms, 2) if not baseline or a == arms[0]]


def differences(
    table: ScoreTable, metrics: Sequence[str], compared: Sequence[tuple[str, str]], **drawn: int
) -> list[Difference]:
    """Paired differences over groups with their tests, and Holm's correction over all as one family."""
    keys = [(label, metric) for metric in metrics for label in table.labels]
    tested = [
        difference
        for key in keys
        for arm, against in compared
        if (difference := _difference(table, key, arm, against, **drawn)) is not None
    ]
    adjusted = holm([difference.p for difference in tested])
    return [replace(difference, adjusted=p) for difference, p in zip(tested, adjusted, strict=True)]


def _difference(table: ScoreTable, key: Key, arm: str, against: str, **drawn: int) -> Difference | None:
    by_case = table.mean(arm, key) - table.mean(against, key)
    values, estimated = _over_groups(by_case, table, **drawn)
    if not len(values):
        return None
    test = signed_rank(values)
    better = values if higher_is_better(key[1]) else -values
    return Difference(
        *key,
        arm,
        against,
        mean=estimated.group_mean,
        interval=(estimated.low, estimated.high),
        median=estimated.median,
        wins=int((better > 0).sum()),
        ties=int((values == 0).sum()),
        losses=int((better < 0).sum()),
        effect=test.effect,
        p=test.p,
        values=values,
        cases=int(np.isfinite(by_case).sum()),
        of_seeds=tuple(_mean(each, table) for each in table.of_seeds(arm, against, key)),
    )


def subgroups(
    table: ScoreTable, metric: str, compared: Sequence[tuple[str, str]], **drawn: int
) -> Iterator[Subgroup]:
    """The paired difference by the size of the structure, and by each other factor."""
    for label in table.labels:
        for factor, levels in {"size": _terciles(table, label), **table.factors}.items():
            for level in sorted(set(levels) - {""}, key=lambda level: ("\t" not in level, level)):
                for arm, against in compared:
                    one, other = (
                        np.where(levels == level, table.mean(name, (label, metric)), NAN)
                        for name in (arm, against)
                    )
                    both = np.isfinite(one) & np.isfinite(other)
                    if not both.any():
                        continue
                    values, estimated = _over_groups(one - other, table, **drawn)
                    yield Subgroup(
                        *(label, metric, factor, level, arm, against),
                        means=(
                            _mean(np.where(both, one, NAN), table),
                            _mean(np.where(both, other, NAN), table),
                        ),
                        difference=estimated.group_mean,
                        interval=(estimated.low, estimated.high),
                        cases=int(both.sum()),
                        groups=len(values),
                    )


def _terciles(table: ScoreTable, label: str) -> np.ndarray:
    """The tercile of each case by the size of its structure, as ``"0\\tsmall, up to 9 px"``, or empty.

    Every group has the same weight.
    """
    sizes, unit = table.sizes[label]
    levels = np.full(len(sizes), "", dtype=object)
    shown = sizes > 0
    if shown.any():
        _, member, counts = np.unique(table.groups[shown], return_inverse=True, return_counts=True)
        weights = 1 / counts[member]
        low, high = np.quantile(sizes[shown], [1 / 3, 2 / 3], weights=weights, method="inverted_cdf")
        levels[shown & (sizes <= low)] = f"0\tsmall, up to {_size(low)} {unit}"
        levels[shown & (sizes > low) & (sizes <= high)] = f"1\tmiddle, up to {_size(high)} {unit}"
        levels[shown & (sizes > high)] = f"2\tlarge, above {_size(high)} {unit}"
    return levels


def _size(value: float) -> str:
    """Large sizes as whole numbers, small ones with decimals: a lesion of 0.15 ml is not 0."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def worst_cases(table: ScoreTable, metric: str) -> Iterator[CaseNote]:
    """The worst cases of each class and arm, one for each group, with the scores of the other arms."""
    for label in table.labels:
        means = {arm: table.mean(arm, (label, metric)) for arm in table.values}
        for arm, values in means.items():
            order = np.argsort(values if higher_is_better(metric) else -values, kind="stable")
            for index in _one_a_group(order, table, np.isfinite(values), WORST):
                shown = {name: float(each[index]) for name, each in means.items()}
                yield CaseNote(label, metric, arm, str(table.cases[index]), str(table.groups[index]), shown)


def most_different(table: ScoreTable, metric: str, *, count: int) -> list[str]:
    """The cases in which arms differ most in any class, one for each group."""
    stacks = [np.stack([table.mean(arm, (label, metric)) for arm in table.values]) for label in table.labels]
    spreads = [np.where(np.isfinite(s).all(axis=0), s.max(axis=0) - s.min(axis=0), 0) for s in stacks]
    apart = np.max(spreads, axis=0)
    order = np.argsort(-apart, kind="stable")
    return [str(table.cases[index]) for index in _one_a_group(order, table, apart > 0, count)]


def _one_a_group(order: np.ndarray, table: ScoreTable, allowed: np.ndarray, count: int) -> list[int]:
    chosen: dict[str, int] = {}
    for index in order:
        if allowed[index] and len(chosen) < count:
            chosen.setdefault(str(table.groups[index]), int(index))
    return list(chosen.values())


def _mean(by_case: np.ndarray, table: ScoreTable) -> float:
    """The mean of the groups' means; NaN without any."""
    values, _ = group_means(by_case, table.groups)
    return float(values.mean()) if len(values) else NAN


def _over_groups(by_case: np.ndarray, table: ScoreTable, **drawn: int) -> tuple[np.ndarray, Estimate]:
    """The mean of each group (G,), and the estimates from them."""
    values, names = group_means(by_case, table.groups)
    return values, estimate(values.tolist(), names.tolist(), **drawn)
