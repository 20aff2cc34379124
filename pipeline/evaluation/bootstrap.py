"""Means over groups and over frames with percentile intervals from a bootstrap that resamples groups."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

__all__ = ["LEVEL", "Estimate", "estimate"]

LEVEL = 0.95
NAN = float("nan")


@dataclass(frozen=True)
class Estimate:
    """A score's mean over groups (a patient with 400 frames weighs as much as one with 4), and over frames.

    Attributes:
        group_mean, low, high: the mean of each group's mean, and its 95 % interval.
        frame_mean, frame_low, frame_high: the mean over frames; its interval resamples groups as well,
            because frames of one patient are no independent observations.
        median: over frames.
        cases, groups: how many the score is defined in.
    """

    group_mean: float
    low: float
    high: float
    frame_mean: float
    frame_low: float
    frame_high: float
    median: float
    cases: int
    groups: int


def estimate(
    values: Sequence[float], groups: Sequence[str], *, resamples: int = 0, seed: int = 0
) -> Estimate:
    """Estimate the mean of a score.

    Args:
        values: one a case; what is not finite is left out.
        groups: the group of each value.
        resamples: bootstrap draws of the groups that have a value; 0 for none.
        seed: the same seed gives the same interval.

    Returns:
        Means without any value, and intervals without resamples or of fewer than two groups, are NaN.

    Source:
        Efron and Tibshirani, An Introduction to the Bootstrap, 1993, chapter 13 (percentile interval).
    """
    array = np.asarray(values, dtype=float)
    finite = np.isfinite(array)
    array = array[finite]
    if not array.size:
        return Estimate(NAN, NAN, NAN, NAN, NAN, NAN, NAN, 0, 0)
    _, member = np.unique(np.asarray(groups)[finite], return_inverse=True)
    counts = np.bincount(member)
    sums = np.bincount(member, weights=array)
    means = sums / counts
    group_interval, frame_interval = _intervals(means, sums, counts, resamples=resamples, seed=seed)
    return Estimate(
        float(means.mean()),
        *group_interval,
        float(array.mean()),
        *frame_interval,
        float(np.median(array)),
        cases=array.size,
        groups=len(counts),
    )


def _intervals(
    means: np.ndarray, sums: np.ndarray, counts: np.ndarray, *, resamples: int, seed: int
) -> tuple[tuple[float, float], tuple[float, float]]:
    number = len(means)
    if resamples < 1 or number < 2:
        return (NAN, NAN), (NAN, NAN)
    # how often each group is drawn in each resample: (resamples, groups)
    drawn = np.random.default_rng(seed).multinomial(number, np.full(number, 1 / number), size=resamples)
    return _percentiles(drawn @ means / number), _percentiles((drawn @ sums) / (drawn @ counts))


def _percentiles(means: np.ndarray) -> tuple[float, float]:
    low, high = np.quantile(means, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)
