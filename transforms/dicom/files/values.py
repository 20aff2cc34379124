"""The values of a header as plain numbers, texts and items; faults of the file are told from bugs.

pydicom converts a value when it is accessed, and may raise anything on an invalid one. So libraries are
called within `foreign`, and values are read by the functions here. Both raise `BrokenFile`, which `readable`
turns into an error for the user. Any other exception of our code is a bug.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

from pydicom import Dataset
from pydicom.datadict import dictionary_description, dictionary_VR, tag_for_keyword
from pydicom.sequence import Sequence

from pyraseg.transforms.errors import InputError, PyrasegError

__all__ = [
    "BrokenFile",
    "attribute",
    "first_item",
    "foreign",
    "items",
    "malformed",
    "no_misplaced_sequence",
    "number",
    "numbers",
    "readable",
    "stated",
    "text",
    "texts",
    "whole",
]

PADDING = " \t\r\n\0"

Source = Mapping[str, Any] | Dataset


class BrokenFile(Exception):
    """A file is not what it claims to be. The message never quotes the file, which may name a patient.

    Args:
        remedy: what helps against this fault in particular.
    """

    def __init__(self, reason: str, *, remedy: str = "") -> None:
        super().__init__(reason)
        self.remedy = remedy


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
        raise InputError(
            wanted, found=f"{found} ({error})", remedy=error.remedy or remedy, path=path
        ) from None


@contextmanager
def malformed(wanted: str, *, path: str | Path, found: str, remedy: str) -> Iterator[None]:
    """`readable` and `foreign` in one, around library calls only."""
    with readable(wanted, path=path, found=found, remedy=remedy), foreign():
        yield


def stated(source: Source, name: str) -> Any:
    """The value of an attribute; None where it is absent."""
    try:
        return no_misplaced_sequence(name, source.get(name))
    except BrokenFile:
        raise
    except Exception as error:  # a parser of foreign bytes may raise anything
        raise BrokenFile(type(error).__name__) from None


def no_misplaced_sequence(name: str, value: Any) -> Any:
    """The value; a sequence where the standard has none would as text quote all its items."""
    if isinstance(value, Sequence) and (tag := tag_for_keyword(name)) and dictionary_VR(tag) != "SQ":
        raise BrokenFile(f"{attribute(name)} with items")
    return value


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
    found = numbers(source, name, 1)
    return None if found is None else found[0]


def numbers(source: Source, name: str, count: int | None = None) -> tuple[float, ...] | None:
    """The numbers, exactly ``count``, whatever VR they have; None where the attribute is absent or empty."""
    parts = _parts(stated(source, name))
    if parts and count is not None and len(parts) != count:
        raise BrokenFile(f"{attribute(name)} with {len(parts)} values")
    return tuple(_number(part, name) for part in parts) or None


def whole(source: Source, name: str, *, required: bool = False) -> int:
    """A whole number; 0 where it is absent or empty, unless it is required."""
    value = number(source, name)
    if value is None and required:
        raise BrokenFile("an attribute that is missing")
    if value is not None and not value.is_integer():
        raise BrokenFile(f"{attribute(name)} that is no whole number")
    return int(value or 0)


def attribute(name: str) -> str:
    """The name and tag of an attribute for a message.

    >>> attribute("PixelSpacing")
    'Pixel Spacing (0028,0030)'
    """
    tag = tag_for_keyword(name)
    return name if tag is None else f"{dictionary_description(tag)} ({tag >> 16:04X},{tag & 0xFFFF:04X})"


def _parts(value: Any) -> list[Any]:
    """The values of an attribute; pydicom splits neither text under a VR of one value, as UT, nor bytes."""
    if value is None or value == "" or value == b"":
        return []
    if isinstance(value, bytes):
        value = value.decode("latin-1")
    if isinstance(value, str):
        return value.strip(PADDING).split("\\")
    return list(value) if isinstance(value, Iterable) else [value]


def _number(value: Any, name: str) -> float:
    try:
        return float(value if isinstance(value, int | float | Decimal) else str(value).strip(PADDING))
    except (TypeError, ValueError, ArithmeticError):
        if "," in str(value):
            found = f"{attribute(name)} with a decimal comma"
            raise BrokenFile(found, remedy=f"Write {attribute(name)} with a decimal point.") from None
        raise BrokenFile(f"{attribute(name)} that is no number") from None


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
