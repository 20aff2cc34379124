"""Which stored values of a frame are black and white: what its file states, else what is declared."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np

from pyraseg.transforms.errors import InputError, Option

__all__ = ["CONTRAST", "ValueRange", "check_within", "contrast_fault", "from_black", "is_dark"]

ValueRange = tuple[float, float]  # the values that are shown as black and as white

CONTRAST = "contrast"  # the metadata's key for what `contrast_fault` says of an image
DARK = 4  # times darker than white
FLAT = 0.01  # of white: with less between its extremes an image is constant
MOSTLY = 0.25  # of an image's values at white: more has lost what was brighter
BEYOND = 0.01  # of the values outside of a declared range: more contradict it
ROUNDING = 1e-3  # of the range
WHITES = (255, 1023, 4095, 16383, 65535)  # of 8 to 16 bits


def is_dark(brightest: float, white: float) -> bool:
    """Whether nothing but black comes near white, so that another white may have been meant."""
    return 0 < DARK * brightest < white


def contrast_fault(image: Any, white: float = 1.0) -> str:
    """Whether an image from 0 to ``white`` is "constant", "nearly black" or, mostly white, "clipped"; or "".

    >>> [contrast_fault(np.linspace(0, highest)) for highest in (0.05, 1, 5)]
    ['nearly black', '', 'clipped']
    """
    values = np.asarray(image)
    if not values.size or values.max() - values.min() <= FLAT * white:
        return "constant"
    if is_dark(float(values.max()), white):
        return "nearly black"
    return "clipped" if np.mean(values >= white) > MOSTLY else ""


def from_black(
    array: np.ndarray,
    *,
    stated: ValueRange | None,
    declared: ValueRange | None,
    full: float | None = None,
    path: str | Path,
) -> tuple[np.ndarray, float]:
    """The values of a frame less that of black, and then that of white.

    Args:
        array: finite numbers.
        stated: the file's own range.
        declared: the user's, for files that state none.
        full: what the file's format calls white; taken unless the frame is dark, whose values may have fewer
            bits than they are stored in.

    Raises:
        InputError: neither is given, or the declared one does not hold the values.
    """
    if stated is None and declared is not None:
        check_within(array, declared, path)
    elif stated is None and full is not None and not is_dark(float(array.max()), full):
        stated = (0.0, full)
    chosen = stated or declared
    if chosen is None:
        raise _open_range(array, path)
    black, white = chosen
    return (array.astype(np.float32) - np.float32(black) if black else array), white - black


def check_within(array: np.ndarray, declared: ValueRange, path: str | Path) -> None:
    """Refuse a declared range that does not hold an array's values.

    Raises:
        InputError: more than 1 % of them lie beyond.
    """
    spare = ROUNDING * (declared[1] - declared[0])
    share = float(np.mean((array < declared[0] - spare) | (array > declared[1] + spare)))
    if share > BEYOND:
        raise InputError(
            f"values from {declared[0]:g} (black) to {declared[1]:g} (white), as value_range declares",
            found=f"{_extent(array)}, {100 * share:.0f} % beyond",
            remedy="Correct value_range, or leave this file out.",
            path=path,
        )


def _open_range(array: np.ndarray, path: str | Path) -> InputError:
    low, high = float(array.min()), float(array.max())
    fractions = array.dtype.kind == "f" and max(-low, high) <= 1 + ROUNDING
    white = 1 if fractions else next((top for top in WHITES if high <= top), math.ceil(high))
    black = 0 if low >= 0 else -1 if fractions else math.floor(low)
    return InputError(
        "a frame that says which of its values are black and white",
        found=f"{array.dtype.name} values and nothing that says so",
        remedy=f"Save its values, {_extent(array)}, as greys of 8 bits, or of 16 up to 65535",
        option=Option("declare the two, for example", "value_range", [black, white]),
        path=path,
    )


def _extent(array: np.ndarray) -> str:
    return f"from {float(array.min()):g} to {float(array.max()):g}"
