"""Checks of a network's arguments; the error names the nearest allowed value."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

from pyraseg.transforms.errors import ConfigError

__all__ = ["choice", "fraction", "positive_integer"]


def choice(name: str, value: object, allowed: Iterable[str | int]) -> None:
    """Refuse a ``value`` that is not one of ``allowed``.

    Raises:
        ConfigError: with the nearest allowed value as the remedy.
    """
    options = list(allowed)
    if any(value == option and type(value) is type(option) for option in options):
        return
    raise ConfigError(
        f"{name} to be one of {', '.join(map(str, options))}",
        found=repr(value),
        remedy=f"Set {name} to {_nearest(value, options)!r} or another of them.",
    )


def positive_integer(name: str, value: object) -> None:
    """Refuse all but a whole number above zero.

    Raises:
        ConfigError: ``value`` is no int (as a bool or a string of digits) or is below 1.
    """
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ConfigError(
            f"{name} to be a whole number above 0", found=repr(value), remedy=f"Set {name} to 1 or more."
        )


def fraction(name: str, value: object) -> None:
    """Refuse all but a number in [0, 1).

    Raises:
        ConfigError: ``value`` is no number or out of range.
    """
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1:
        raise ConfigError(
            f"{name} to be a number from 0 up to, not including, 1",
            found=repr(value),
            remedy=f"Set {name} to 0 to switch it off.",
        )


def _nearest(value: object, options: list[str | int]) -> str | int:
    numbers = [option for option in options if isinstance(option, int)]
    if numbers and isinstance(value, int | float):
        return min(numbers, key=lambda number: abs(number - value))
    close = difflib.get_close_matches(
        str(value).lower(), [str(option) for option in options], n=1, cutoff=0.0
    )
    return next(option for option in options if str(option) == close[0])
