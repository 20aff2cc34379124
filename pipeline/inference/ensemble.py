"""Several networks as one: the mean of their probabilities, one forward pass at a time.

A softmax follows a network, so an ensemble gives logarithms: the softmax of the logarithm of probabilities
gives them back, because they add up to one.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn

__all__ = ["Ensemble", "log_mean_probability"]


def log_mean_probability(scores: Iterable[Tensor]) -> Tensor:
    """The logarithm of the mean of ``softmax(score)`` over the classes, (B, K, H, W[, D]) each, as float32.

    ``scores`` may be a generator: each score is freed before the next is computed. The sum is kept in
    logarithms, so a class that all members rule out has a finite, very negative score, not minus infinity.
    """
    total, number = torch.tensor(-torch.inf), 0
    for score in scores:
        logs = score.float().log_softmax(dim=1)
        total = torch.logaddexp(total, logs) if number else logs
        number += 1
        del score, logs  # the next forward pass may need the memory
    return total - math.log(number)


class Ensemble(nn.Module):
    """Networks of one label set: (B, C, H, W[, D]) -> the logarithm of their mean probability, (B, K, ...).

    Their architectures may differ. `SegmentationInferer` runs the members one after another in its precision;
    the module's ``forward`` gives the same mean.

    >>> pair = Ensemble([nn.Conv2d(1, 2, 1), nn.Conv2d(1, 2, 3, padding=1)])
    >>> pair(torch.zeros(1, 1, 4, 4)).exp().sum(dim=1).allclose(torch.ones(1, 4, 4))
    True
    """

    def __init__(self, members: Sequence[nn.Module]) -> None:
        super().__init__()
        self.members = nn.ModuleList(members)

    def forward(self, x: Tensor) -> Tensor:
        return log_mean_probability(member(x) for member in self.members)
