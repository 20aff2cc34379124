"""Numbers that can be: finite values, and sizes of pixels and voxels that a device may have."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

__all__ = ["SPACING_MM", "WHERE_MM", "are_finite", "spacing_fault"]

SPACING_MM = (1e-3, 100.0)  # from a tenth of micro-CT's voxels to scouts with gaps
WHERE_MM = 1e5  # from the origin, which lies within the room


def are_finite(values: Any) -> bool:
    """Whether an array, or a tensor, has neither NaN nor infinity."""
    return 0 in values.shape or all(math.isfinite(float(end)) for end in (values.min(), values.max()))


def spacing_fault(spacing_mm: Iterable[float]) -> str:
    """The spacing in words where no image can have it; empty where one can.

    >>> spacing_fault([0.5, 1e-320]), spacing_fault([0.5, 0.5])
    ('0.5 x 9.99989e-321 mm', '')
    """
    values = [float(value) for value in spacing_mm]
    if all(SPACING_MM[0] <= value <= SPACING_MM[1] for value in values):
        return ""
    return " x ".join(f"{value:g}" for value in values) + " mm"
