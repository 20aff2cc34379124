"""What tells images at one place apart: echoes, time points, phases; and how a message says it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from itertools import zip_longest

from pyraseg.transforms.dicom.pixels.checks import code_text
from pyraseg.transforms.dicom.series.planes import PASSING, TELLING, UNSHOWN, PlaneHeader

__all__ = ["told_apart"]

Places = Callable[[Sequence[PlaneHeader]], list[list[PlaneHeader]]]
Labelled = tuple[list[PlaneHeader], str]


def told_apart(planes: Sequence[PlaneHeader], places: Places) -> list[Labelled]:
    """Planes parted so that each part has one at each place, as far as their headers tell, with labels.

    First by the attributes that have one value for each of the parts, as few as do; then by the order of a
    time that goes on from slice to slice; then by any one that leaves parts of two planes or more. What no
    attribute tells apart stays together.

    Args:
        places: groups planes by position.
    """
    most = max(map(len, places(planes)))
    if most == 1:
        return [(list(planes), "")]
    told = [dict(plane.telling) for plane in planes]
    counts = {name: len({values.get(name, "") for values in told}) for name in TELLING}
    names = _fewest([name for name, count in counts.items() if 1 < count <= most], planes, places)
    parts = _labelled(planes, names)
    ordered = [part for group, label in parts for part in _in_order(group, label, places)]
    if _simple(ordered, places):
        return ordered
    tried = [_labelled(planes, [name]) for name, count in counts.items() if 1 < count <= len(planes) // 2]
    return min((each for each in tried if _simple(each, places)), key=len, default=[(list(planes), "")])


def _simple(parts: Sequence[Labelled], places: Places) -> bool:
    return all(len(places(group)) == len(group) for group, _ in parts)


def _fewest(names: Sequence[str], planes: Sequence[PlaneHeader], places: Places) -> list[str]:
    """One attribute that parts the planes, else as few as do, else all that help."""

    def clashes(chosen: Sequence[str]) -> int:
        return sum(len(group) - len(places(group)) for group in _by_values(planes, chosen).values())

    chosen: list[str] = []
    left = clashes([])
    for name in names:
        if clashes([name]) == 0:
            return [name]
    for name in names:
        if left and (fewer := clashes([*chosen, name])) < left:
            chosen, left = [*chosen, name], fewer
    for name in chosen[:-1]:
        without = [other for other in chosen if other != name]
        if clashes(without) == left:
            chosen = without
    return chosen


def _by_values(
    planes: Sequence[PlaneHeader], names: Sequence[str]
) -> dict[tuple[str, ...], list[PlaneHeader]]:
    groups: dict[tuple[str, ...], list[PlaneHeader]] = defaultdict(list)
    for plane in planes:
        values = dict(plane.telling)
        groups[tuple(values.get(name, "") for name in names)].append(plane)
    return groups


def _labelled(planes: Sequence[PlaneHeader], names: Sequence[str]) -> list[Labelled]:
    """The parts by the values of the attributes, in their order."""
    groups = _by_values(planes, names)
    shown = [_shown(name, sorted({key[at] for key in groups}, key=_rank)) for at, name in enumerate(names)]
    keys = sorted(groups, key=lambda key: [_rank(value) for value in key])
    return [
        (groups[key], ", ".join(words[value] for words, value in zip(shown, key, strict=True)))
        for key in keys
    ]


def _in_order(planes: list[PlaneHeader], label: str, places: Places) -> Iterator[Labelled]:
    """By the order of a time at each place, where every place has as many planes, at different times."""
    groups = places(planes)
    count = len(groups[0])
    if count > 1 and all(len(group) == count for group in groups):
        for name in PASSING:
            at = {id(plane): _rank(dict(plane.telling).get(name, "")) for plane in planes}
            times = [sorted(at[id(plane)] for plane in group) for group in groups]
            if all(time[0] == 0 for each in times for time in each) and all(
                len(set(each)) == count for each in times
            ):
                ranked = [sorted(group, key=lambda plane: at[id(plane)]) for group in groups]
                for number in range(count):
                    words = f"{TELLING[name]} {number + 1} of {count} at each place"
                    yield [group[number] for group in ranked], f"{label}, {words}" if label else words
                return
    yield planes, label


def _rank(value: str) -> tuple[int, float, str]:
    """Numbers by size, before texts."""
    try:
        return 0, float(value), ""
    except ValueError:
        return 1, 0.0, value


def _shown(name: str, values: Sequence[str]) -> dict[str, str]:
    """Words for each value: the parts in which they differ, or where they are no codes their order."""
    columns = list(zip_longest(*(value.split("\\") for value in values), fillvalue=""))
    told = list(zip(*(column for column in columns if len({*column}) > 1), strict=True))
    words = {}
    for number, (value, parts) in enumerate(zip(values, told, strict=True), start=1):
        codes = [_code(part) for part in parts if part]
        plain = (
            "\\".join(codes) if codes and all(codes) and name not in UNSHOWN else f"{number} of {len(values)}"
        )
        words[value] = f"{TELLING[name]} {plain if value else 'not stated'}"
    return words


def _code(text: str) -> str:
    kind, size, _ = _rank(text)
    if kind == 0:
        return f"{size:g}"
    return text.upper() if code_text(text.upper()) == text.upper() else ""
