"""Intervals around measured values, by split conformal prediction over groups."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

__all__ = ["LEVEL", "Interval", "Spread", "fewest_groups", "quantile_over_groups", "relative_size"]

LEVEL = 0.9
LOWEST = {"[hnsf'U]": -math.inf}  # the least value that a unit allows; 0 for all others
HIGHEST = {"%": 100.0}


def quantile_over_groups(values: Any, groups: Sequence[str], share: float) -> float:
    """The least value that a share of the groups' mass does not exceed, one more group being at infinity.

    All groups weigh the same, and so do the items of a group. A new group's item exceeds it with a
    probability of at most ``1 - share`` (Dunn, Wasserman and Ramdas, Distribution-free prediction sets for
    two-layer hierarchical models, J. Am. Stat. Assoc. 118:2491, 2023, arXiv:1809.07441: pooling of
    distribution functions).

    Returns:
        Infinity where there are too few groups, see `fewest_groups`.

    >>> quantile_over_groups([1.0, 2.0, 3.0], ["a", "b", "c"], 0.5), quantile_over_groups([1.0], ["a"], 0.9)
    (2.0, inf)
    """
    array = np.asarray(values, float)
    names, member, counts = np.unique(np.asarray(groups), return_inverse=True, return_counts=True)
    weights = 1 / (counts[member] * (len(names) + 1))
    order = np.argsort(array)
    reached = np.cumsum(weights[order]) >= share - 1e-9
    return float(array[order][reached.argmax()]) if reached.any() else math.inf


def fewest_groups(level: float = LEVEL) -> int:
    """How many groups an interval needs whose both sides are missed equally often.

    >>> fewest_groups(0.9)
    19
    """
    share = (1 + level) / 2
    return math.ceil(share / (1 - share) - 1e-9)


def relative_size(row: Any, pixels: int) -> float:
    """A class's size in a unit that every case has: ml of a volume, pixels of a frame by all of its pixels.

    Args:
        row: the case, a `CaseScore`.
    """
    return row.size(pixels) if row.size_unit == "ml" else pixels / max(row.pixels, 1)


@dataclass(frozen=True)
class Interval:
    """Where the true value lies in 9 of 10 new groups, by what happened in the validation."""

    low: float
    high: float


@dataclass(frozen=True)
class Spread:
    """How far the reference's values of one quantity lay from the predicted ones.

    An error is relative to the predicted value's size plus ``margin``, so intervals of large structures are
    wider, and those of small ones are not zero.

    Attributes:
        low, high: the limits of (reference - predicted) / (|predicted| + margin), each missed in 5 %.
        margin: the median size of the values that are not 0, predicted and true, in the quantity's unit.
        unit: UCUM.
        groups: the number of them that it comes from.
        most: the largest value that the quantity can have.
    """

    low: float
    high: float
    margin: float
    unit: str
    groups: int
    most: float = math.inf

    @classmethod
    def fit(
        cls,
        predicted: Sequence[float],
        reference: Sequence[float],
        *,
        groups: Sequence[str],
        unit: str = "",
        most: float = math.inf,
    ) -> Spread | None:
        """From pairs of values; None where there are too few groups, or all values are 0.

        >>> values = [10.0 + n for n in range(40)]
        >>> groups = [str(value) for value in values]
        >>> spread = Spread.fit(values, [1.1 * v for v in values], groups=groups, unit="mm2")
        >>> interval = spread.around(20.0)
        >>> 20 < interval.low < 22.2 < interval.high < 24
        True
        """
        number = len(set(groups))
        before, after = np.asarray(predicted, float), np.asarray(reference, float)
        sizes = np.abs(np.concatenate([before, after]))
        if number < fewest_groups() or not sizes.any():
            return None
        margin = float(np.median(sizes[sizes > 0]))
        errors = (after - before) / (np.abs(before) + margin)
        share = (1 + LEVEL) / 2
        low, high = -quantile_over_groups(-errors, groups, share), quantile_over_groups(errors, groups, share)
        return cls(low, high, margin, unit, number, most)

    def around(self, value: float) -> Interval:
        """The interval around a predicted value, within what its unit allows."""
        size = abs(value) + self.margin
        least, most = LOWEST.get(self.unit, 0.0), min(self.most, HIGHEST.get(self.unit, math.inf))
        low, high = (min(max(value + part * size, least), most) for part in (self.low, self.high))
        return Interval(low, high)

    def facts(self) -> dict[str, Any]:
        """For a checkpoint."""
        return dict(vars(self))

    @classmethod
    def from_facts(cls, facts: Mapping[str, Any]) -> Spread:
        """Undo `facts`."""
        return cls(**facts)
