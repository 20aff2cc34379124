"""Intervals hold the true values of new groups as often as they say, however unlike the groups are."""

from __future__ import annotations

import numpy as np
import pytest

from pyraseg.pipeline.trust.intervals import Spread, fewest_groups, quantile_over_groups


def drawn(groups: int, seed: int):
    """(predicted, reference, group): groups of 1 to 40 items that share most of their error."""
    rng = np.random.default_rng(seed)
    sizes = rng.integers(1, 41, groups)
    names = np.repeat(np.arange(groups), sizes)
    truth = rng.lognormal(3, 1, sizes.sum())
    shared = rng.normal(0, 0.2, groups)[names]
    return truth * np.exp(shared + rng.normal(0, 0.05, len(truth))), truth, [str(name) for name in names]


def test_nine_of_ten_new_groups_are_covered_on_average():
    covered = []
    for seed in range(40):
        spread = Spread.fit(*drawn(40, seed)[:2], groups=drawn(40, seed)[2])
        predicted, truth, names = drawn(60, 1000 + seed)
        inside = [
            spread.around(p).low <= t <= spread.around(p).high for p, t in zip(predicted, truth, strict=True)
        ]
        means = [np.mean([i for i, n in zip(inside, names, strict=True) if n == name]) for name in set(names)]
        covered.append(np.mean(means))
    assert 0.88 <= np.mean(covered) <= 0.96


def test_too_few_groups_give_no_interval():
    predicted, truth, names = drawn(fewest_groups() - 1, 0)
    assert Spread.fit(predicted, truth, groups=names) is None


def test_larger_values_have_wider_intervals_and_zero_has_one():
    predicted, truth, names = drawn(40, 0)
    spread = Spread.fit(predicted, truth, groups=names, unit="mm2")
    small, large = spread.around(0.0), spread.around(100.0)
    assert small.low == 0 < small.high
    assert large.high - large.low > small.high - small.low


def test_mostly_empty_predictions_leave_intervals_of_the_size_of_the_errors():
    """Most cases rightly have nothing, some were missed: the rest still tells how far values are off."""
    rng = np.random.default_rng(0)
    truth = np.concatenate([np.zeros(33), rng.uniform(300, 900, 27)])
    predicted = np.where(np.arange(60) < 39, 0, truth * rng.normal(1, 0.1, 60))
    spread = Spread.fit(predicted, truth, groups=[str(n) for n in range(60)], unit="mm2")
    assert 600 < spread.around(600.0).high < 3000
    assert 0 == spread.around(0.0).low < spread.around(0.0).high
    assert Spread.fit(np.zeros(60), np.zeros(60), groups=[str(n) for n in range(60)]) is None


@pytest.mark.parametrize(
    ("unit", "value", "least", "most"), [("%", 99.0, 0, 100), ("[hnsf'U]", -40.0, -np.inf, 100)]
)
def test_an_interval_stays_within_what_the_unit_allows(unit, value, least, most):
    rng = np.random.default_rng(0)
    predicted = np.full(40, value)
    spread = Spread.fit(
        predicted, predicted + rng.normal(0, 20, 40), groups=[str(n) for n in range(40)], unit=unit
    )
    interval = spread.around(value)
    assert least <= interval.low < value < interval.high <= most
    assert Spread.from_facts(spread.facts()) == spread


def test_all_groups_weigh_the_same_whatever_their_size():
    values = [1.0] * 100 + [2.0, 3.0]
    assert quantile_over_groups(values, ["a"] * 100 + ["b", "c"], 0.5) == 2.0
