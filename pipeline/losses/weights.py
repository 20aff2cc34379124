"""The check that every weight of a loss passes."""

from __future__ import annotations

import math
from collections.abc import Sequence

from pyraseg.transforms.errors import ConfigError

__all__ = ["checked_weights"]


def checked_weights(name: str, values: Sequence[float]) -> list[float]:
    """The values, checked.

    Raises:
        ConfigError: one that is negative or not finite, or all of them 0.
    """
    numbers = [float(value) for value in values]
    if all(math.isfinite(number) and number >= 0 for number in numbers) and any(numbers):
        return numbers
    raise ConfigError(
        f"{name} to be 0 or more and not all 0",
        found=str(numbers),
        remedy="Set them to 1 to weigh all alike.",
    )
