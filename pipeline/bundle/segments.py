"""The classes of a label map: their values, names, colours and codes."""

from __future__ import annotations

import colorsys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import count
from typing import Any

from pyraseg.pipeline.bundle.metadata import BundleMetadata, DeclaredSegment
from pyraseg.transforms.errors import LabelError
from pyraseg.transforms.records import Segment

__all__ = ["BACKGROUND", "resolve_segments"]

BACKGROUND = "background"
# Okabe and Ito's palette, told apart with every common colour vision deficiency, without its black
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

    A segment's value is its index in ``label_names``. The declaration is looked up by name alone, so another
    label set (fewer classes, another order) takes its colours and codes from the same metadata. An undeclared
    name gets a colour from a palette safe for colour-blind readers, and no codes.

    Args:
        label_names: "background" first, then the classes.
        declared: the entries under "segments" of a bundle's metadata.json, as
            ``{"value": 1, "name": "kidney", "colour": [255, 0, 0], "type": ["64033007", "SCT", "Kidney"],
            "category": ["91723000", "SCT", "Anatomical Structure"]}``; all but the name may be left out.

    Raises:
        LabelError: no names, a repeated name, or a first name other than "background".
        ConfigError: a declaration with an unknown key, a malformed colour or code, or a name declared twice.

    >>> [segment.colour for segment in resolve_segments(["background", "kidney"])]
    [(0, 0, 0), (230, 159, 0)]
    """
    if not label_names or label_names[0] != BACKGROUND:
        found = f'"{label_names[0]}" first' if label_names else "no names"
        wanted = f'label names that start with "{BACKGROUND}"'
        raise LabelError(wanted, found=found, remedy="Put background first.")
    if twice := sorted({name for name in label_names if list(label_names).count(name) > 1}):
        raise LabelError("label names that differ", found=f'"{twice[0]}" twice', remedy="Rename one of them.")
    known = {
        entry.name: entry for entry in BundleMetadata.from_mapping({"segments": list(declared)}).segments
    }
    entries = [known.get(name, DeclaredSegment.model_construct(name=name)) for name in label_names]
    spare = _distinct([(0, 0, 0), (255, 255, 255), *(entry.colour for entry in entries if entry.colour)])
    return tuple(
        Segment(
            value=value,
            name=entry.name,
            colour=entry.colour or ((0, 0, 0) if entry.name == BACKGROUND else next(spare)),
            category=entry.category,
            type=entry.type,
        )
        for value, entry in enumerate(entries)
    )


def _distinct(taken: list[Colour]) -> Iterator[Colour]:
    """Colours far from ``taken``: the palette's, then hues a golden angle apart, closer if need be."""
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
