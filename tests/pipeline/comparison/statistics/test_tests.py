"""The statistics against worked examples of the literature and documented results of R; what a test of frames
does."""

from __future__ import annotations

import csv
import math
from collections import Counter

import numpy as np
import pytest
from scipy import stats

from pyraseg.pipeline.comparison.statistics.tests import (
    LEAST_GROUPS,
    group_means,
    holm,
    limits_of_agreement,
    median_interval,
    signed_rank,
)

# Hollander and Wolfe, Nonparametric Statistical Methods, 1973, p. 29: the example of R's help page on
# wilcox.test
BEFORE = [1.83, 0.50, 1.62, 2.48, 1.68, 1.88, 1.55, 3.06, 1.30]
AFTER = [0.878, 0.647, 0.598, 2.05, 1.06, 1.29, 1.06, 3.14, 1.29]
# Bland and Altman, Lancet 327:307, 1986, table 1: peak expiratory flow, first reading of both meters, l/min
WRIGHT = [494, 395, 516, 434, 476, 557, 413, 442, 650, 433, 417, 656, 267, 478, 178, 423, 427]
MINI = [512, 430, 520, 428, 500, 600, 364, 380, 658, 445, 432, 626, 260, 477, 259, 350, 451]


def test_without_ties_the_p_value_is_r_s_exact_one():
    """R: wilcox.test(x, y, paired = TRUE, alternative = "greater") gives V = 40, p-value = 0.01953."""
    found = signed_rank(np.subtract(BEFORE, AFTER))
    assert found.p == pytest.approx(2 * 0.01953125)
    assert found.effect == pytest.approx((40 - 5) / 45)  # V and the rest of the rank sum 9 * 10 / 2
    assert round(found.effect, 2) == 0.78  # R: effectsize::rank_biserial on the same pairs, in its help page


def test_with_zeros_and_ties_the_p_value_is_r_s_normal_one():
    """R: wilcox.test(d) gives V = 99.5, p-value = 0.01842, as shown at
    stats.stackexchange.com/questions/514618."""
    d = [1, 1, 0, 1, 2, 1, 1, -2, 0, 1, 2, 1, 1, 1, -1, 0, 1, 0, 1]
    found = signed_rank(d)
    assert found.p == pytest.approx(0.01842, abs=5e-6)
    assert found.effect == pytest.approx((99.5 - 20.5) / 120)
    assert found.number == 19


def test_few_tied_differences_are_permuted():
    """The sleep data of Student, Biometrika 6:1, 1908: nine differences of one sign are 2 of 2 ** 9
    arrangements."""
    assert signed_rank([1.2, 2.4, 1.3, 1.3, 0, 1.0, 1.8, 0.8, 4.6, 1.4]).p == pytest.approx(2 / 2**9)


def test_of_too_few_groups_there_is_no_p_value_but_an_effect():
    few = signed_rank(np.arange(1.0, LEAST_GROUPS))
    assert math.isnan(few.p)
    assert few.effect == 1
    assert signed_rank(np.arange(1.0, LEAST_GROUPS + 1)).p == pytest.approx(2 / 2**6)


def test_no_difference_at_all_is_no_evidence():
    found = signed_rank(np.zeros(8))
    assert (found.p, found.effect, found.number) == (1, 0, 8)


def test_turning_the_arms_round_turns_the_effect_round():
    d = np.random.default_rng(0).normal(0.2, 1, 30)
    one, other = signed_rank(d), signed_rank(-d)
    assert one.p == other.p
    assert one.effect == -other.effect


def test_holm_is_r_s():
    """R: p.adjust(c(0.01, 0.04, 0.03, 0.005), "holm") gives 0.03 0.06 0.06 0.02; also the example of
    Wikipedia's "Holm-Bonferroni method"."""
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])


def test_what_is_not_tested_does_not_count_in_holm_s_family():
    adjusted = holm([0.01, float("nan"), 0.04, 0.03, 0.005])
    assert math.isnan(adjusted[1])
    assert adjusted[0] == pytest.approx(0.03)
    assert all(math.isnan(value) for value in holm([float("nan")] * 2))


def test_limits_of_agreement_are_bland_and_altman_s():
    """The paper: bias -2.1, SD 38.8 l/min, bias between -22.0 and 17.8 with 95 % confidence; the limits'
    standard error is 16.3 and t is 2.12, so each has 34.5 to either side. The paper takes 2 SD, here as in
    their later ones 1.96."""
    found = limits_of_agreement(np.subtract(WRIGHT, MINI), range(17))
    assert found.bias == pytest.approx(-2.1, abs=0.05)
    assert found.sd == pytest.approx(38.8, abs=0.05)
    assert found.bias_interval == pytest.approx((-22.0, 17.8), abs=0.1)
    assert found.lower - found.bias == pytest.approx(-1.96 * 38.765, abs=0.01)
    for limit, interval in ((found.lower, found.lower_interval), (found.upper, found.upper_interval)):
        assert limit - interval[0] == pytest.approx(34.5, abs=0.1)
        assert interval[1] - limit == pytest.approx(34.5, abs=0.1)


def test_limits_count_groups_and_not_cases():
    """A case measured a hundred times over says nothing new."""
    d, groups = np.subtract(WRIGHT, MINI), np.arange(17)
    once, often = (
        limits_of_agreement(d, groups),
        limits_of_agreement(np.repeat(d, 100), np.repeat(groups, 100)),
    )
    assert (often.bias, often.sd, often.groups) == pytest.approx((once.bias, once.sd, 17))
    assert often.lower_interval == pytest.approx(once.lower_interval)
    assert often.cases == 1700


def test_limits_hold_both_the_spread_between_and_within_groups():
    drawn = np.random.default_rng(0)
    groups = np.repeat(np.arange(400), 5)
    d = drawn.normal(0, 3, 400)[groups] + drawn.normal(0, 4, len(groups))
    assert limits_of_agreement(d, groups).sd == pytest.approx(5, rel=0.05)


def test_a_single_group_has_no_limits():
    found = limits_of_agreement([1.0, 3.0], ["a", "a"])
    assert found.bias == 2
    assert math.isnan(found.lower)


def test_group_means_leave_out_what_is_undefined_and_keep_ties():
    means, names = group_means([0.1 + 0.2, 0.3, np.nan, np.nan, 1.0], ["a", "b", "b", "c", "b"])
    assert list(names) == ["a", "b"]
    assert list(means) == [0.3, 0.65]  # 0.1 + 0.2 is 0.30000000000000004


def test_a_median_s_interval_holds_it_and_narrows_with_groups():
    drawn = np.random.default_rng(1)
    few, many = (median_interval(drawn.normal(size=n), resamples=500, seed=0) for n in (20, 500))
    assert few[0] < 0.3
    assert few[1] > -0.3
    assert many[1] - many[0] < few[1] - few[0]
    assert all(math.isnan(value) for value in median_interval([1.0], resamples=100, seed=0))


def heavy_tailed() -> np.ndarray:
    """Group sizes as the real set has them: most patients have a frame or two, a few have hundreds."""
    return np.array(
        [1] * 250
        + [2] * 70
        + [3] * 20
        + [4] * 25
        + [6] * 12
        + [12, 15, 18, 22, 36, 60, 128, 185, 250, 340, 488]
    )


def real_sizes(shared_data) -> np.ndarray:
    with open(shared_data / "us_hydronephrosis" / "frames.csv", newline="") as file:
        return np.array(list(Counter(row["group"] for row in csv.DictReader(file)).values()))


def rejections(sizes: np.ndarray, *, simulations: int) -> tuple[float, float]:
    """How often groups, and frames, reject at 0.05 where nothing is to be found.

    A patient's frames share half of their variance.
    """
    drawn = np.random.default_rng(3)
    groups = np.repeat(np.arange(len(sizes)), sizes)
    by_group = by_frame = 0
    for _ in range(simulations):
        d = drawn.normal(size=len(sizes))[groups] + drawn.normal(size=len(groups))
        by_group += signed_rank(group_means(d, groups)[0]).p < 0.05
        by_frame += stats.wilcoxon(d, method="approx").pvalue < 0.05
    return by_group / simulations, by_frame / simulations


def test_groups_keep_the_level_where_frames_do_not():
    by_group, by_frame = rejections(heavy_tailed(), simulations=600)
    assert by_group <= 0.07
    assert by_frame > 0.5


def test_groups_keep_the_level_on_the_real_set(shared_data):
    by_group, by_frame = rejections(real_sizes(shared_data), simulations=600)
    assert by_group <= 0.07
    assert by_frame > 0.5
