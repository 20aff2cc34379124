"""The label set of a datalist: class names, and the keys of each class in the label files."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from pyraseg.pipeline.bundle.segments import BACKGROUND
from pyraseg.pipeline.datalist.items import Datalist
from pyraseg.transforms.errors import LabelError

__all__ = ["check_label_names", "check_labels", "label_key", "parse_label_map", "sort_keys", "suggestion"]


def label_key(text: str) -> int | str:
    """A key in label files: a mask value, the number of a segment or region, or its name."""
    text = text.strip()
    return int(text) if re.fullmatch(r"-?[0-9]+", text) else text


def sort_keys(keys: Iterable[int | str]) -> list[int | str]:
    """Sort values, then names in their declared order."""
    return sorted(keys, key=lambda key: (1, 0) if isinstance(key, str) else (0, key))


def parse_label_map(pairs: Iterable[str]) -> tuple[list[str], dict[int | str, int]]:
    """Class names behind the background, in the given order, and the map from keys in label files to classes.

    Args:
        pairs: "value=name", each text one pair or several with commas. Several values may share a name. The
            value 0 is the background unless it has another name. A value may also be the name of a segment or
            region, "GTV_Mass=tumour"; for a name with a comma, give the number.

    Raises:
        LabelError: a malformed pair, a repeated value, or no pair at all.

    >>> parse_label_map(["128=kidney,255=hydronephrosis"])
    (['background', 'kidney', 'hydronephrosis'], {0: 0, 128: 1, 255: 2})
    """
    named: dict[int | str, str] = {}
    for pair in (part.strip() for text in pairs for part in text.split(",")):
        text, _, name = pair.rpartition("=")
        value, name = label_key(text), name.strip()
        negative = isinstance(value, int) and value < 0
        if value == "" or negative or not name or isinstance(label_key(name), int):
            remedy = "Write mask value (or the name of a segment or region), =, class name."
            raise LabelError("a pair like 255=hydronephrosis", found=f'"{pair}"', remedy=remedy)
        if value in named:
            remedy = "Give each value one name."
            raise LabelError("each mask value once", found=f"{value} twice", remedy=remedy)
        named[value] = name
    names = [BACKGROUND, *dict.fromkeys(name for name in named.values() if name != BACKGROUND)]
    mapping: dict[int | str, int] = {0: 0, **{value: names.index(name) for value, name in named.items()}}
    check_labels(names, mapping)
    return names, {key: mapping[key] for key in sort_keys(mapping)}


def suggestion(values: Iterable[int | str]) -> str:
    """The option that would declare these mask values."""
    pairs = ",".join(f"{value}=NAME" for value in sort_keys(values) if value)
    return f"Declare them: --label-map {pairs or '255=NAME'}"


def check_labels(label_names: Sequence[str], label_map: Mapping[int | str, int]) -> None:
    """Refuse repeated names, names without the background first, and a map to other classes.

    Names of parts are compared without regard to case, as the reader of labels does.

    Raises:
        LabelError: the label set is contradictory.
    """
    distinct = len(set(label_names)) == len(label_names)
    if len(label_names) < 2 or label_names[0] != BACKGROUND or not distinct or not all(label_names):
        raise LabelError(
            f'distinct class names of which the first is "{BACKGROUND}", and one more at least',
            found=str(list(label_names)),
            remedy="Name each class once, in the order of the classes.",
        )
    if beyond := sort_keys(value for value, index in label_map.items() if not 0 <= index < len(label_names)):
        # the name of a part may be a person's
        key = f"mask value {beyond[0]}" if isinstance(beyond[0], int) else "the name of a part"
        raise LabelError(
            f"mask values mapped to the classes 0 to {len(label_names) - 1}",
            found=f"{key} mapped to class {label_map[beyond[0]]}",
            remedy="Correct label_map, or add the class's name to label_names.",
        )
    parts = Counter(key.strip().casefold() for key in label_map if isinstance(key, str))
    if any(not part or number > 1 for part, number in parts.items()):
        wanted, found = "distinct names in label_map", "an empty name or one that stands twice"
        remedy = "Give each name of a segment or region one class; upper and lower case are alike."
        raise LabelError(wanted, found=found, remedy=remedy)


def check_label_names(datalist: Datalist, expected_names: Sequence[str]) -> None:
    """Refuse a datalist with other classes than the bundle's.

    Raises:
        LabelError: the remedy is the override that fits this datalist.

    >>> data = Datalist((), (), (), label_names=("background", "kidney"), label_map={0: 0, 1: 1}, digest="")
    >>> check_label_names(data, ["background", "kidney"])
    """
    if tuple(expected_names) == datalist.label_names:
        return
    names = "[" + ",".join(f"'{name}'" for name in datalist.label_names) + "]"
    raise LabelError(
        f"a datalist with the {len(expected_names)} classes {', '.join(expected_names)}",
        found=f"{datalist.num_classes} classes: {', '.join(datalist.label_names)}",
        remedy=f'Add to the command: --label_names "{names}"',
    )
