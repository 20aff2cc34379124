"""The reading options on a command line: declared, taken, and spelt where a remedy offers one."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Collection
from typing import Any

from pyraseg.transforms.errors import ConfigError, Option, PyrasegError, UsageError
from pyraseg.transforms.io.reading_options import OF_FRAMES, REPAIRS, ReadingOptions

__all__ = [
    "FLAGS",
    "OF_SERIES",
    "add_reading_options",
    "as_typed",
    "positive",
    "reading_options",
    "reason_and_option",
]

# `--series` of datalist is a folder
FLAGS = {
    name: f"--{name.replace('_', '-')}"
    for name in ("stack", "repair", "assume_hu", "nearest", "crop", "value_range")
}
FLAGS["series"] = "--series-number"
OF_SERIES = ("stack", "repair", "assume_hu")  # of a series by itself, without labels


def positive(text: str) -> int:
    """A whole number above 0, as the type of an argument."""
    if not text.isascii() or not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"wanted a whole number above 0, found {text!r}")
    return int(text)


def add_reading_options(add: Callable[..., Any], names: Collection[str] = tuple(FLAGS)) -> None:
    """Declare the options of these names, by the ``add_argument`` of a parser or a group."""
    number: dict[str, Any] = {"type": positive, "metavar": "N"}
    series = "of several series in an image's folder the N-th, from 1"
    stack = "of a series' stacks (time points, echoes, orientations) the N-th, from 1"
    shown = "the values that are black and white in frames whose files do not say so, for example 0 4095"
    declared: dict[str, dict[str, Any]] = {
        "series": {**number, "help": series},
        "stack": {**number, "help": stack},
        "repair": {"metavar": "LIST", "help": f"what may be mended: of {','.join(REPAIRS)}"},
        "assume_hu": {"help": "take a CT's values for HU whatever its Rescale Type"},
        "nearest": {"help": "contours between slices go to the nearest slice"},
        "crop": {"help": "labels that reach beyond the image are cut off there"},
        "value_range": {"nargs": 2, "type": float, "metavar": ("BLACK", "WHITE"), "help": shown},
    }
    for name in names:
        flag = {} if "metavar" in declared[name] else {"action": "store_true"}
        add(FLAGS[name], dest=f"reading_{name}", **flag, **declared[name])


def reading_options(arguments: argparse.Namespace) -> ReadingOptions:
    """The options of a command line.

    Raises:
        UsageError: an unknown repair, or a range that does not ascend.
    """
    typed = {name: getattr(arguments, f"reading_{name}", None) for name in FLAGS}
    given = {name: value for name, value in typed.items() if value}
    if "repair" in given:
        given["repair"] = [word.strip() for word in given["repair"].split(",") if word.strip()]
    try:
        return ReadingOptions(**given)
    except ConfigError as error:
        raise error.restated(UsageError, spell=as_typed()) from error


def as_typed(names: Collection[str] = tuple(FLAGS)) -> Callable[[Option], str]:
    """How a command that has the options of these names spells one of them; it offers no other.

    >>> as_typed(["repair"])(Option("drop those that are equal", "repair", ["copies"]))
    '--repair copies'
    """

    def spell(option: Option) -> str:
        words = option.value if isinstance(option.value, list) else [option.value]
        apart = " " if option.name in OF_FRAMES else ","
        value = "" if option.value is True else f" {apart.join(map(str, words))}"
        return f"{FLAGS[option.name]}{value}" if option.name in names else ""

    return spell


def reason_and_option(error: PyrasegError, spell: Callable[[Option], str]) -> str:
    """Why a file is left out, and the option that takes it, if there is one."""
    spelt = spell(error.option) if error.option is not None else ""
    offer = f"; to {error.option.does}: {spelt}" if error.option is not None and spelt else ""
    return f"wanted {error.wanted}, found {error.found}{offer}"
