"""How well a class is likely to be segmented: the Dice that its own probabilities lead one to expect."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import isotonic_regression
from torch import Tensor

from pyraseg.pipeline.inference.source_grid import argmax_channels

__all__ = ["FLAG", "FLAGGED", "Expected", "MapSums", "agreement", "share_over_groups"]

FLAG = "likely to be wrong"
FLAGGED = 0.2  # the share of the validation's items that are flagged
Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class MapSums:
    """What is kept of the probabilities of an image, on the network's grid; the sums of parts are added.

    Attributes:
        inside: (K,) the sum of each class's probability over the pixels that it wins.
        won: (K,) the number of these pixels.
        mass: (K,) the sum of its probability over all pixels.
        peak: (K,) its largest probability.
    """

    inside: Array
    won: Array
    mass: Array
    peak: Array

    @classmethod
    def of(cls, probabilities: Tensor, weights: Tensor | None = None) -> MapSums:
        """Of probabilities (K, h, w[, d]).

        Args:
            weights: (K,) factors before the argmax, see `class_weights`.
        """
        soft = probabilities.detach().float().flatten(1)
        labels = argmax_channels(soft if weights is None else soft * weights.to(soft.device)[:, None])
        numbers = range(len(soft))
        inside = [float(soft[k][labels == k].sum(dtype=torch.float64)) for k in numbers]
        won = [float((labels == k).sum()) for k in numbers]
        mass, peak = soft.sum(dim=1, dtype=torch.float64), soft.amax(dim=1)
        parts = (np.asarray(part, np.float64) for part in (inside, won, mass.tolist(), peak.tolist()))
        return cls(*parts)

    @classmethod
    def of_scores(cls, scores: Tensor, weights: Tensor | None = None) -> MapSums:
        """Of scores (K, h, w[, d]), before the softmax."""
        return cls.of(torch.as_tensor(scores).detach().float().softmax(dim=0), weights)

    def __add__(self, other: MapSums) -> MapSums:
        inside, won, mass = self.inside + other.inside, self.won + other.won, self.mass + other.mass
        return MapSums(inside, won, mass, np.maximum(self.peak, other.peak))

    def expected_dice(self) -> Array:
        """(K,) the expected Dice if probabilities are what they say, for a class that is found.

        2 sum of p inside the map / (size of the map + sum of p everywhere): the ratio of the expectations.

        >>> soft = torch.tensor([[0.0, 0.2], [1.0, 0.8]])
        >>> MapSums.of(soft).expected_dice().round(3).tolist()
        [0.0, 0.947]
        """
        return np.asarray(2 * self.inside / np.maximum(self.won + self.mass, 1e-12))


def agreement(predicted: int, reference: int, common: int) -> float:
    """Dice, and where a class is in neither map 1: an absence that was seen is right."""
    return 2 * common / (predicted + reference) if predicted + reference else 1.0


def share_over_groups(values: Sequence[float], groups: Sequence[str], share: float) -> float:
    """The value up to which a share of the items lies, all groups weighing the same; more of equal ones.

    >>> share_over_groups([0.1, 0.2, 0.3, 0.4], ["a", "b", "c", "d"], 0.5)
    0.2
    """
    _, member, counts = np.unique(np.asarray(groups), return_inverse=True, return_counts=True)
    order = np.argsort(values, kind="stable")
    reached = np.cumsum(1 / counts[member][order]) / len(counts)
    below = np.asarray(values, float)[order][reached <= share + 1e-9]
    return float(below[-1]) if len(below) else float(np.min(values, initial=np.inf))


@dataclass(frozen=True)
class Expected:
    """From what the probabilities lead one to expect of a class to what it was on validation.

    A monotone curve through the validation's items (isotonic regression, Barlow et al., Statistical inference
    under order restrictions, 1972; between the centres of its steps a straight line), one for items where the
    class is found and one, by its largest probability, for those where it is not.

    Attributes:
        found, absent: the points of either curve, (N, 2) as lists: expected, and observed.
    """

    found: Sequence[Sequence[float]]
    absent: Sequence[Sequence[float]]

    @classmethod
    def fit(cls, sums: Any, observed: Sequence[float], weights: Sequence[float]) -> Expected:
        """Of items.

        Args:
            sums: (N, 3), of each item expected Dice, largest probability, and 1 where the class is found.
            observed: see `agreement`.
            weights: of the items; 1 over the size of the group.
        """
        table = np.column_stack([np.asarray(sums, float).reshape(-1, 3), observed, weights])
        found = table[:, 2] > 0
        return cls(
            _monotone(*table[found][:, [0, 3, 4]].T),
            _monotone(1 - table[~found][:, 1], *table[~found][:, [3, 4]].T),
        )

    def quality(self, expected: float, peak: float, found: bool) -> float:
        """The Dice to expect, from 0 to 1."""
        x, y = np.asarray(self.found if found else self.absent).T
        return float(np.interp(expected if found else 1 - peak, x, y))


def _monotone(x: Array, y: Array, weights: Array) -> list[list[float]]:
    """The curve's points, from (0, 0); beyond the surest items it stays level, as nobody knows better."""
    if not len(x):
        return [[0.0, 0.0], [1.0, 1.0]]
    x, at = np.unique(x, return_inverse=True)  # of equals none comes first
    total = np.bincount(at, weights)
    fitted = isotonic_regression(np.bincount(at, weights * y) / total, weights=total)
    points = [[0.0, 0.0]]
    for begin, end in zip(fitted.blocks, fitted.blocks[1:], strict=False):
        centre = float(np.average(x[begin:end], weights=total[begin:end]))
        points.append([round(centre, 6), round(float(fitted.x[begin]), 6)])
    return [*points, [1.0, points[-1][1]]]
