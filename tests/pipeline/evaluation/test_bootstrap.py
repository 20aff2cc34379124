"""Means weigh groups alike, and their intervals come from resampling groups."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from pyraseg.pipeline.evaluation.bootstrap import estimate


def test_a_group_weighs_the_same_however_many_frames_it_has():
    found = estimate([1.0] * 9 + [0.0], ["large"] * 9 + ["small"])
    assert (found.group_mean, found.frame_mean, found.median) == (0.5, pytest.approx(0.9), 1)
    assert (found.cases, found.groups) == (10, 2)


def test_the_interval_is_that_of_an_independent_bootstrap_over_group_means():
    values = np.random.default_rng(0).beta(5, 2, 60)
    groups = [f"g{n}" for n in range(60)]
    found = estimate(values, groups, resamples=20_000)
    other = stats.bootstrap(
        (values,), np.mean, n_resamples=20_000, method="percentile", rng=1
    ).confidence_interval
    assert (found.low, found.high) == pytest.approx((other.low, other.high), abs=0.004)
    assert (found.frame_low, found.frame_high) == pytest.approx((found.low, found.high))


def test_repeating_a_patient_s_frames_buys_no_certainty():
    values, groups = [0.2, 0.5, 0.7, 0.9, 0.4], list("abcde")
    once, often = (estimate(values * n, groups * n, resamples=500) for n in (1, 50))
    assert (often.low, often.high) == pytest.approx((once.low, once.high))
    assert (often.frame_low, often.frame_high) == pytest.approx((once.frame_low, once.frame_high))


def test_the_interval_of_frames_follows_the_groups_they_come_from():
    found = estimate([1.0] * 98 + [0.0] * 2, ["large"] * 98 + ["a", "b"], resamples=2000)
    assert found.frame_low == 0  # the resamples without the large group
    assert found.frame_high == 1


def test_a_seed_gives_the_same_interval_again_and_another_seed_another():
    values, groups = np.linspace(0, 1, 40) ** 2, [f"g{n % 13}" for n in range(40)]
    first, again, other = (estimate(values, groups, resamples=300, seed=seed) for seed in (1, 1, 2))
    assert first == again
    assert (first.low, first.high) != (other.low, other.high)
    assert first.low < first.group_mean < first.high


@pytest.mark.parametrize(("values", "groups", "resamples"), [([0.3, 0.4], "aa", 100), ([0.3, 0.4], "ab", 0)])
def test_one_group_or_no_resamples_give_no_interval(values, groups, resamples):
    found = estimate(values, list(groups), resamples=resamples)
    assert found.group_mean == pytest.approx(0.35)
    assert all(math.isnan(value) for value in (found.low, found.high, found.frame_low, found.frame_high))


def test_what_is_not_defined_is_left_out_and_nothing_is_nan_and_no_zero():
    found = estimate([0.5, float("nan")], ["a", "b"], resamples=10)
    assert (found.group_mean, found.cases, found.groups) == (0.5, 1, 1)
    assert math.isnan(estimate([float("nan")], ["a"]).group_mean)
    assert math.isnan(estimate([], []).frame_mean)
