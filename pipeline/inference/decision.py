"""From probabilities to classes: the plain argmax, or a threshold and a smallest size of some classes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from pyraseg.transforms.errors import ConfigError

__all__ = ["PLAIN", "OperatingPoint", "class_weights"]

PLAIN = 0.5  # the threshold of the argmax


@dataclass(frozen=True)
class OperatingPoint:
    """Where a class is taken to be there.

    Attributes:
        threshold: the probability from which it wins, where there is one other class; see `class_weights`.
        smallest: its smallest component, as a fraction of a frame, or in ml of a volume; 0 keeps all.

    Raises:
        ConfigError: a threshold that is not between 0 and 1, or a smallest size below 0.
    """

    threshold: float = PLAIN
    smallest: float = 0.0

    def __post_init__(self) -> None:
        if not 0 < self.threshold < 1:
            remedy = "Give a probability, for example 0.6; 0.5 is the plain argmax."
            raise ConfigError("a threshold between 0 and 1", found=f"{self.threshold}", remedy=remedy)
        if not 0 <= self.smallest < float("inf"):
            remedy = "Give a fraction of the frame, or ml of a volume; 0 keeps every component."
            raise ConfigError("a smallest size of 0 or more", found=f"{self.smallest}", remedy=remedy)


def class_weights(points: Mapping[str, OperatingPoint], label_names: Sequence[str]) -> Tensor | None:
    """The factors (K,) of the classes' probabilities before the argmax; None where all are 1.

    A class with the threshold t has (1 - t) / t. So of two classes it wins where its probability is above t;
    of several, where its odds against the best other one are above t / (1 - t). This is the decision of least
    expected cost where missing it costs (1 - t) / t times as much as a false alarm (Elkan, The foundations of
    cost-sensitive learning, IJCAI 2001).

    >>> class_weights({"fluid": OperatingPoint(0.8)}, ["background", "fluid"])
    tensor([1.0000, 0.2500])
    """
    weights = [1.0] * len(label_names)
    for name, point in points.items():
        weights[list(label_names).index(name)] = (1 - point.threshold) / point.threshold
    return None if set(weights) == {1.0} else torch.tensor(weights)
