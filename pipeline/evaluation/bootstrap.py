"""Means over groups and over frames with percentile intervals from a bootstrap that resamples groups."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

__all__ = ["LEVEL", "Estimate", "estimate", "percentiles", "plain", "rate_in_words"]

LEVEL = 0.95
NAN = float("nan")


@dataclass(frozen=True)
class Estimate:
    """A score's mean over groups (patients weigh the same with 4 frames and with 400) and over frames.

    Attributes:
        group_mean, low, high: the mean of each group's mean, and its 95 % interval.
        frame_mean, frame_low, frame_high: the mean over frames; its interval resamples groups, too, because
            frames of one patient are not independent.
        median: over frames.
        cases, groups: the numbers in which the score is defined.
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

    def document(self) -> dict[str, Any]:
        """As a dictionary for JSON."""
        return plain(vars(self))


def plain(values: Mapping[str, Any]) -> dict[str, Any]:
    """A value for JSON, null if it is not finite."""
    return {k: None if isinstance(v, float) and not np.isfinite(v) else v for k, v in values.items()}


def estimate(
    values: Sequence[float], groups: Sequence[str], *, resamples: int = 0, seed: int = 0
) -> Estimate:
    """Estimate the mean of a score.

    Args:
        values: one per case; values that are not finite are left out.
        groups: the group of each value.
        resamples: bootstrap draws of the groups with a value; 0 for none.
        seed: the same seed gives the same interval.

    Returns:
        Means without values, and intervals without resamples or of fewer than two groups, are NaN.

    Source: Efron and Tibshirani, An Introduction to the Bootstrap, 1993, chapter 13 (percentile interval).

    >>> dice = estimate([0.9, 0.9, 0.9, 0.5], ["a", "a", "a", "b"], resamples=100)
    >>> round(dice.group_mean, 3), round(dice.frame_mean, 3), dice.low <= dice.group_mean <= dice.high
    (0.7, 0.8, True)
    """
    array = np.asarray(values, dtype=float)
    finite = np.isfinite(array)
    array = array[finite]
    if not array.size:
        return Estimate(NAN, NAN, NAN, NAN, NAN, NAN, NAN, 0, 0)
    _, member = np.unique(np.asarray(groups)[finite], return_inverse=True)
    counts = np.bincount(member)
    sums = np.bincount(member, weights=array)
    means, number = sums / counts, len(counts)
    group_interval = frame_interval = (NAN, NAN)
    if resamples > 0 and number > 1:
        # how often each group is drawn in each resample: (resamples, groups)
        drawn = np.random.default_rng(seed).multinomial(number, np.full(number, 1 / number), size=resamples)
        group_interval = percentiles(drawn @ means / number)
        frame_interval = percentiles((drawn @ sums) / (drawn @ counts))
    return Estimate(
        float(means.mean()),
        *group_interval,
        float(array.mean()),
        *frame_interval,
        float(np.median(array)),
        cases=array.size,
        groups=number,
    )


def rate_in_words(rate: Mapping[str, Any]) -> str:
    """A mean over cases with its interval, and the mean over groups beside it.

    >>> rate_in_words({"mean": 0.1, "low": 0.02, "high": 0.2, "over_groups": 0.4})
    '0.100 (0.020 to 0.200), over groups 0.400'
    """
    interval = "" if rate["low"] is None else f" ({rate['low']:.3f} to {rate['high']:.3f})"
    return f"{rate['mean']:.3f}{interval}, over groups {rate['over_groups']:.3f}"


def percentiles(means: np.ndarray) -> tuple[float, float]:
    """The ends of the interval of resampled means; NaN without any."""
    if len(means) < 1:
        return NAN, NAN
    low, high = np.quantile(means, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)
