"""The options of reading: what a user chooses or permits so that an ambiguous file or label can be read."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from pyraseg.transforms.errors import ConfigError, Option

__all__ = ["OF_FRAMES", "REPAIRS", "ReadingOptions", "as_reading"]

OF_FRAMES = ("value_range",)  # the others are of series
REPAIRS = ("copies", "longest_run", "single_slice")


@dataclass(frozen=True)
class ReadingOptions:
    """How to read series, the labels drawn on them and frames; by default what is ambiguous is refused.

    Attributes:
        series: which series of a folder that holds several, from 1, as the error lists them.
        stack: which stack of a series that has several (orientations, time points, echoes), from 1.
        repair: permitted repairs: "copies" drops slices equal to another at their position, "longest_run"
            keeps the longest run of evenly spaced slices, "single_slice" takes thickness for spacing.
        assume_hu: take a CT's values for HU although its Rescale Type does not say so.
        nearest: move contours between slices to the nearest slice.
        crop: leave out the part of a label that lies beyond the image.
        value_range: of frames whose files do not say so, the values that are black and white, [0, 4095].

    Raises:
        ConfigError: a number below 1, an unknown repair, a flag that is neither true nor false, a range that
            does not ascend.

    >>> ReadingOptions(repair=["copies"], stack=2).given
    {'stack': 2, 'repair': ['copies']}
    >>> ReadingOptions(repair=["copy"])
    Traceback (most recent call last):
    pyraseg.transforms.errors.ConfigError: wanted a list of repairs among copies, longest_run, single_slice, \
found 'copy'. Correct repair, or write for example: repair=['copies'].
    """

    series: int | None = None
    stack: int | None = None
    repair: Collection[str] = ()
    assume_hu: bool = False
    nearest: bool = False
    crop: bool = False
    value_range: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        for name in ("series", "stack"):
            value = getattr(self, name)
            if value is not None and (type(value) is not int or value < 1):
                raise _refused(name, "a whole number above 0", value, 1)
        for name in ("assume_hu", "nearest", "crop"):
            if not isinstance(value := getattr(self, name), bool):
                raise _refused(name, "true or false", value, True)
        if self.value_range is not None:
            object.__setattr__(self, "value_range", _ascending(self.value_range))
        listed = not isinstance(self.repair, str) and isinstance(self.repair, Collection)
        unknown = [word for word in self.repair if word not in REPAIRS] if listed else [self.repair]
        if unknown:
            raise _refused("repair", f"a list of repairs among {', '.join(REPAIRS)}", unknown[0], ["copies"])
        object.__setattr__(self, "repair", tuple(name for name in REPAIRS if name in self.repair))

    @classmethod
    def of(cls, declared: ReadingOptions | Mapping[str, Any] | None) -> ReadingOptions:
        """The options of a mapping, as configs, metadata and datalists have them; None is the default.

        Raises:
            ConfigError: an unknown key, or as the constructor.
        """
        if isinstance(declared, ReadingOptions):
            return declared
        known = [field.name for field in fields(cls)]
        wanted, remedy = f"reading options among {', '.join(known)}", "Correct the key, or leave it out."
        if declared is not None and not isinstance(declared, Mapping):
            raise ConfigError(wanted, found=type(declared).__name__, remedy="Write a mapping of them.")
        if unknown := [key for key in declared or () if key not in known]:
            raise ConfigError(wanted, found=repr(unknown[0]), remedy=remedy)
        return cls(**dict(declared or {}))

    @property
    def given(self) -> dict[str, Any]:
        """The options that are not the default, as plain values for JSON."""
        values = {name: value for name, value in asdict(self).items() if value}
        return values | {name: list(values[name]) for name in ("repair", "value_range") if name in values}

    @property
    def of_images(self) -> dict[str, Any]:
        """The keyword arguments of `read_volume`."""
        return {name: getattr(self, name) for name in ("series", "stack", "repair", "assume_hu")}

    @property
    def of_labels(self) -> dict[str, Any]:
        """The keyword arguments of `DrawnLabels.label_map`."""
        return {name: True for name in ("nearest", "crop") if getattr(self, name)}

    def over(self, default: ReadingOptions) -> ReadingOptions:
        """These options, and those of ``default`` that are not given here."""
        return ReadingOptions(**{**default.given, **self.given})


def as_reading(option: Option) -> str:
    """An option as `LoadVolumed` and `LoadFramed` take it, and by the id ``reading`` of a bundle's config.

    >>> as_reading(Option("take the first", "stack", 1))
    'reading={\\'stack\\': 1} (of a bundle: --reading "{\\'stack\\': 1}")'
    """
    value = f"{{{option.name!r}: {option.value!r}}}"
    return f'reading={value} (of a bundle: --reading "{value}")'


def _ascending(value: Any) -> tuple[float, float]:
    pair = list(value) if isinstance(value, list | tuple) else []
    numbers = all(type(number) in (int, float) and math.isfinite(number) for number in pair)
    if len(pair) != 2 or not numbers or not pair[0] < pair[1]:
        raise _refused("value_range", "[black, white], two ascending numbers", value, [0, 4095])
    black, white = (int(number) if number == int(number) else number for number in pair)
    return black, white


def _refused(name: str, wanted: str, found: Any, example: Any) -> ConfigError:
    option = Option("write for example", name, example)
    return ConfigError(wanted, found=repr(found), remedy=f"Correct {name}.", option=option)
