"""The classes of a label map: their values, names, colours and codes."""

from __future__ import annotations

import colorsys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import count
from typing import Any

from pyraseg.transforms.errors import ConfigError, LabelError
from pyraseg.transforms.records import Code, Segment

__all__ = ["BACKGROUND", "resolve_segments"]

BACKGROUND = "background"
KEYS = ("value", "name", "colour", "category", "type")
# Okabe and Ito's palette, told apart with every common colour vision deficiency; without its black, lost on
# an image.
PALETTE = (
    (230, 159, 0),
    (86, 180, 233),
    (240, 228, 66),
    (204, 121, 167),
    (0, 158, 115),
    (0, 114, 178),
    (213, 94, 0),
)
NEAR = 60.0  # Euclidean distance in 8-bit RGB below which two colours pass for one on speckle

Colour = tuple[int, int, int]


def resolve_segments(
    label_names: Sequence[str], declared: Iterable[Mapping[str, Any]] = ()
) -> tuple[Segment, ...]:
    """The segments of a label set, in the order of their values.

    A segment's value is its index in ``label_names``; the declaration is found by its name alone, so another
    label set (fewer classes, another order) takes its colours and codes from the same metadata. A name that
    is not declared gets a colour of its own from a palette safe for colour-blind readers, and no codes.

    Args:
        label_names: "background" first, then the classes.
        declared: the entries under "segments" of a bundle's metadata.json, as
            ``{"value": 1, "name": "kidney", "colour": [255, 0, 0], "category": ["91723000", "SCT", "Anatomical Structure"],
            "type": ["64033007", "SCT", "Kidney"]}``; all but the name may be left out.

    Raises:
        LabelError: no names, a repeated one, or a first one other than "background".
        ConfigError: a declaration with an unknown key, a malformed colour or code, or a name declared twice.
    """
    _check_names(label_names)
    known = _by_name(declared)
    colours = {
        name: _colour(entry) for name, entry in known.items() if name in label_names and "colour" in entry
    }
    spare = _distinct([(0, 0, 0), (255, 255, 255), *colours.values()])
    colours = {BACKGROUND: (0, 0, 0), **colours}
    return tuple(
        Segment(
            value=value,
            name=name,
            colour=colours[name] if name in colours else next(spare),
            category=_code(known.get(name, {}), "category"),
            type=_code(known.get(name, {}), "type"),
        )
        for value, name in enumerate(label_names)
    )


def _check_names(names: Sequence[str]) -> None:
    if not names or names[0] != BACKGROUND:
        found = f'"{names[0]}" first' if names else "no names"
        raise LabelError(
            f'label names that start with "{BACKGROUND}"', found=found, remedy="Put background first."
        )
    if repeated := sorted({name for name in names if list(names).count(name) > 1}):
        raise LabelError(
            "label names that differ", found=f'"{repeated[0]}" twice', remedy="Rename one of them."
        )


def _by_name(declared: Iterable[Mapping[str, Any]]) -> dict[str, Mapping[str, Any]]:
    entries: dict[str, Mapping[str, Any]] = {}
    for entry in declared:
        if unknown := sorted(set(entry) - set(KEYS)):
            raise _malformed(f"the keys {', '.join(KEYS)}", f'"{unknown[0]}"')
        if not isinstance(name := entry.get("name"), str) or name in entries:
            raise _malformed(
                "one name for each segment", "a name twice" if name in entries else "an entry without a name"
            )
        entries[name] = entry
    return entries


def _colour(entry: Mapping[str, Any]) -> Colour:
    match entry["colour"]:
        case [int() as red, int() as green, int() as blue] if all(
            0 <= part <= 255 for part in (red, green, blue)
        ):
            return red, green, blue
    raise _malformed("a colour of three integers from 0 to 255", repr(entry["colour"]))


def _code(entry: Mapping[str, Any], key: str) -> Code | None:
    match entry.get(key):
        case None:
            return None
        case [str() as value, str() as scheme, str() as meaning] if value and scheme and meaning:
            return Code(value, scheme, meaning)
    raise _malformed(f"a {key} of code value, scheme and meaning", repr(entry[key]))


def _malformed(wanted: str, found: str) -> ConfigError:
    return ConfigError(wanted, found=found, remedy='Correct "segments" in the bundle\'s metadata.json.')


def _distinct(taken: list[Colour]) -> Iterator[Colour]:
    """Colours far from those taken: the palette first, then hues a golden angle apart, ever closer if they
    must."""
    for candidate in PALETTE:
        if all(_distance(candidate, other) >= NEAR for other in taken):
            taken.append(candidate)
            yield candidate
    for step in count():
        red, green, blue = colorsys.hsv_to_rgb(step * 0.61803398875 % 1, 0.9 if step % 2 else 0.55, 1.0)
        candidate = round(255 * red), round(255 * green), round(255 * blue)
        if all(_distance(candidate, other) >= NEAR / (1 + step / 16) for other in taken):
            taken.append(candidate)
            yield candidate


def _distance(one: Colour, other: Colour) -> float:
    return sum((a - b) ** 2 for a, b in zip(one, other, strict=True)) ** 0.5
