"""Signed ranks, Holm's correction, effect size and limits of agreement, with the group as the unit."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats
from statsmodels.stats.multitest import multipletests

from pyraseg.pipeline.evaluation.bootstrap import LEVEL

__all__ = [
    "LEAST_GROUPS",
    "Agreement",
    "SignedRank",
    "group_means",
    "holm",
    "limits_of_agreement",
    "median_interval",
    "signed_rank",
]

LEAST_GROUPS = 6  # with fewer no p-value below 0.05 is possible: 2 / 2**5 = 0.0625
DECIMALS = 6  # of the tables: closer values are equal
EXACT = 50  # the most differences for the exact distribution, without ties
PERMUTED = 13  # the most for enumerating it with ties
NAN = float("nan")
Interval = tuple[float, float]


@dataclass(frozen=True)
class SignedRank:
    """A Wilcoxon signed-rank test.

    Attributes:
        p: two-sided; NaN for fewer than `LEAST_GROUPS` differences.
        effect: the matched-pairs rank-biserial correlation, from -1 to 1: the share of the rank sum for a
            positive difference minus the share against it.
        number: of differences, zeros included.
    """

    p: float
    effect: float
    number: int


def group_means(values: ArrayLike, groups: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """The mean of each group over its finite values, and the groups' names: two arrays (G,), sorted by name.

    Means are rounded to the six decimals of the tables, so that equal scores stay equal.
    """
    array = np.asarray(values, dtype=float)
    finite = np.isfinite(array)
    names, member = np.unique(np.asarray(groups)[finite], return_inverse=True)
    sums = np.bincount(member, weights=array[finite], minlength=len(names))
    return np.round(sums / np.maximum(np.bincount(member, minlength=len(names)), 1), DECIMALS), names


def signed_rank(differences: ArrayLike) -> SignedRank:
    """Test whether differences, one for each group, are symmetric about 0.

    Zeros are dropped before ranking, as by Wilcoxon and R's ``wilcox.test``. The null distribution is exact
    up to 50 differences without ties and 13 with ties, else normal, corrected for ties and continuity.

    Source:
        Wilcoxon, Individual comparisons by ranking methods, Biometrics Bulletin 1:80, 1945; Kerby, The simple
        difference formula, Comprehensive Psychology 3, 2014 (effect size).
    """
    d = np.asarray(differences, dtype=float)
    left = d[d != 0]
    if not left.size:
        return SignedRank(1.0 if d.size >= LEAST_GROUPS else NAN, 0.0 if d.size else NAN, d.size)
    ranks = stats.rankdata(np.abs(left))
    effect = float((ranks * np.sign(left)).sum() / ranks.sum())
    if d.size < LEAST_GROUPS:
        return SignedRank(NAN, effect, d.size)
    tied = len(np.unique(np.abs(left))) < left.size
    method: object = "exact" if left.size <= EXACT else "approx"
    if tied:
        method = stats.PermutationMethod(n_resamples=2**PERMUTED) if left.size <= PERMUTED else "approx"
    test = stats.wilcoxon(left, zero_method="wilcox", correction=method == "approx", method=method)
    return SignedRank(float(test.pvalue), effect, d.size)


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjusted p-values of one family; NaN (no test) stays NaN and does not count.

    Source:
        Holm, A simple sequentially rejective multiple test procedure, Scandinavian Journal of Statistics
        6:65, 1979.
    """
    array = np.asarray(p_values, dtype=float)
    known = np.isfinite(array)
    if known.any():
        array[known] = multipletests(array[known], method="holm")[1]
    return [float(value) for value in array]


def median_interval(values: ArrayLike, *, resamples: int, seed: int) -> Interval:
    """The 95 % percentile bootstrap interval of the groups' median, (G,) values; NaN for fewer than two."""
    array = np.asarray(values, dtype=float)
    if array.size < 2 or resamples < 1:
        return NAN, NAN
    interval = stats.bootstrap(
        (array,),
        np.median,
        n_resamples=resamples,
        batch=max(1, 2_000_000 // array.size),
        confidence_level=LEVEL,
        method="percentile",
        rng=np.random.default_rng(seed),
    ).confidence_interval
    return float(interval.low), float(interval.high)


@dataclass(frozen=True)
class Agreement:
    """Bias and limits of agreement, each with its 95 % interval; NaN for fewer than two groups.

    Attributes:
        bias: the mean difference, over groups.
        sd: of the difference in a random case of a random group.
        lower, upper: bias -+ 1.96 sd: 95 % of the differences are expected between them.
    """

    bias: float
    bias_interval: Interval
    sd: float
    lower: float
    lower_interval: Interval
    upper: float
    upper_interval: Interval
    cases: int
    groups: int


def limits_of_agreement(differences: ArrayLike, groups: ArrayLike) -> Agreement:
    """Bland and Altman's limits of agreement, for groups of one or more cases.

    Every group has the same weight: the bias is the mean of the groups' means, and the variance is that of
    one random case of a random group. The intervals count groups, not cases. With one case in each group
    these are the formulas of 1986.

    Source:
        Bland and Altman, Statistical methods for assessing agreement between two methods of clinical
        measurement, Lancet 327:307, 1986; Measuring agreement in method comparison studies, Statistical
        Methods in Medical Research 8:135, 1999, section 5 (several measurements a subject).
    """
    array = np.asarray(differences, dtype=float)
    finite = np.isfinite(array)
    array = array[finite]
    names, member = np.unique(np.asarray(groups)[finite], return_inverse=True)
    number, counts = len(names), np.bincount(member, minlength=len(names))
    if number < 2:
        bias = float(array.mean()) if array.size else NAN
        return Agreement(bias, (NAN, NAN), NAN, NAN, (NAN, NAN), NAN, (NAN, NAN), array.size, number)
    means = np.bincount(member, weights=array) / counts
    bias = float(means.mean())
    weights = 1 / (number * counts[member])
    sd = math.sqrt(float((weights * (array - bias) ** 2).sum()) * number / (number - 1))
    t, z = float(stats.t.ppf((1 + LEVEL) / 2, number - 1)), 1.96
    of_bias = t * float(means.std(ddof=1)) / math.sqrt(number)
    of_limit = t * sd * math.sqrt(3 / number)
    bias_interval, lower_interval, upper_interval = (
        (value - half, value + half)
        for value, half in ((bias, of_bias), (bias - z * sd, of_limit), (bias + z * sd, of_limit))
    )
    return Agreement(
        *(bias, bias_interval, sd, bias - z * sd, lower_interval, bias + z * sd, upper_interval),
        cases=array.size,
        groups=number,
    )
