"""The values of a header as plain numbers, texts and items; faults of the file are told from bugs.

pydicom converts a value when it is accessed, and may raise anything on an invalid one. So libraries are
called within `foreign`, and values are read by the functions here. Both raise `BrokenFile`, which `readable`
turns into an error for the user. Any other exception of our code is a bug.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from pydicom import Dataset
from pydicom.sequence import Sequence

from pyraseg.transforms.errors import InputError, PyrasegError

__all__ = [
    "BrokenFile",
    "first_item",
    "foreign",
    "items",
    "malformed",
    "number",
    "numbers",
    "readable",
    "stated",
    "text",
    "texts",
    "whole",
]

PADDING = " \t\r\n\0"

Converted = TypeVar("Converted")
Source = Mapping[str, Any] | Dataset


class BrokenFile(Exception):
    """A file is not what it claims to be. The message never quotes the file, which may name a patient."""


@contextmanager
def foreign() -> Iterator[None]:
    """Use around library calls on a file's bytes, and nothing else."""
    try:
        yield
    except (MemoryError, PyrasegError, BrokenFile):
        raise
    except Exception as error:  # a parser of foreign bytes may raise anything
        raise BrokenFile(type(error).__name__) from None


@contextmanager
def readable(
    wanted: str,
    *,
    path: str | Path,
    found: str = "one that is cut off or broken",
    remedy: str = "Export it again.",
) -> Iterator[None]:
    """Turn a `BrokenFile` into an `InputError` that says what was wanted of which file.

    The library's message and traceback are left out: both may quote a path or the patient's attributes.
    """
    try:
        yield
    except BrokenFile as error:
        raise InputError(wanted, found=f"{found} ({error})", remedy=remedy, path=path) from None


@contextmanager
def malformed(wanted: str, *, path: str | Path, found: str, remedy: str) -> Iterator[None]:
    """`readable` and `foreign` in one, around library calls only."""
    with readable(wanted, path=path, found=found, remedy=remedy), foreign():
        yield


def stated(source: Source, name: str) -> Any:
    """The value of an attribute; None where it is absent."""
    try:
        return source.get(name)
    except Exception as error:  # a parser of foreign bytes may raise anything
        raise BrokenFile(type(error).__name__) from None


def text(source: Source, name: str) -> str:
    """A value as text without padding; empty where there is none."""
    value = stated(source, name)
    return str(value).strip(PADDING) if value or value == 0 else ""


def texts(source: Source, name: str) -> tuple[str, ...]:
    """The texts of an attribute with several values."""
    value = stated(source, name)
    if value is None or value == "":
        return ()
    values = value if isinstance(value, Iterable) and not isinstance(value, str) else (value,)
    return tuple(str(part).strip(PADDING) for part in values)


def number(source: Source, name: str) -> float | None:
    """A number; None where it is absent or empty."""
    value = stated(source, name)
    return None if value is None or value == "" else _converted(float, value)


def numbers(source: Source, name: str, count: int) -> tuple[float, ...] | None:
    """Exactly ``count`` numbers; None where the attribute is absent or empty."""
    value = stated(source, name)
    if value is None or value == "":
        return None
    values = list(value) if isinstance(value, Iterable) and not isinstance(value, str) else [value]
    if values and len(values) != count:
        raise BrokenFile(f"{len(values)} values")
    return tuple(_converted(float, each) for each in values) or None


def whole(source: Source, name: str, *, required: bool = False) -> int:
    """A whole number; 0 where it is absent or empty, unless it is required."""
    value = stated(source, name)
    if value is None or value == "":
        if required:
            raise BrokenFile("an attribute that is missing")
        return 0
    return _converted(int, value)


def items(source: Source, name: str) -> list[Dataset]:
    """The items of a sequence; none where it is absent."""
    value = stated(source, name)
    if value is None or value == "":
        return []
    if not isinstance(value, Sequence):
        raise BrokenFile("no sequence")
    with foreign():
        return list(value)


def first_item(source: Source, name: str) -> Dataset:
    """The first item of a sequence; an empty item where there is none."""
    return next(iter(items(source, name)), Dataset())


def _converted(kind: Callable[[Any], Converted], value: Any) -> Converted:
    try:
        return kind(value)
    except (TypeError, ValueError, ArithmeticError) as error:
        raise BrokenFile(type(error).__name__) from None
