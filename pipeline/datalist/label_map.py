"""``255=hydronephrosis`` on the command line: class names, and the mask values or part names that stand for
them."""

from __future__ import annotations

import re
from collections.abc import Iterable

from pyraseg.pipeline.datalist.rules import BACKGROUND, check_labels, sort_keys
from pyraseg.transforms.errors import LabelError

__all__ = ["label_key", "parse_label_map", "suggestion"]


def label_key(text: str) -> int | str:
    """What stands in a label file: a whole number (a mask value, a segment's or region's number) or a part's
    name."""
    text = text.strip()
    return int(text) if re.fullmatch(r"-?[0-9]+", text) else text


def parse_label_map(pairs: Iterable[str]) -> tuple[list[str], dict[int | str, int]]:
    """Class names in the order given behind the background, and the map from what stands in label files to
    classes.

    Args:
        pairs: "value=name", each text one pair or several with commas: ["128=kidney,255=hydronephrosis"].
            Several values may share a name. The value 0 is the background unless it is given another name. In
            place of a value there may be the name of a segment or region, "GTV_Mass=tumour"; one with a comma
            is given by its number.

    Returns:
        ``(["background", "kidney", "hydronephrosis"], {0: 0, 128: 1, 255: 2})``.

    Raises:
        LabelError: a pair that does not read so, a value given twice, or no pair at all.
    """
    named: dict[int | str, str] = {}
    for pair in (part.strip() for text in pairs for part in text.split(",")):
        value, name = _parse(pair)
        if value in named:
            raise LabelError(
                "each mask value once", found=f"{value} twice", remedy="Give each value one name."
            )
        named[value] = name
    names = [BACKGROUND, *dict.fromkeys(name for name in named.values() if name != BACKGROUND)]
    mapping: dict[int | str, int] = {0: 0}
    mapping.update({value: names.index(name) for value, name in named.items()})
    check_labels(names, mapping)
    return names, {key: mapping[key] for key in sort_keys(mapping)}


def _parse(pair: str) -> tuple[int | str, str]:
    text, _, name = pair.rpartition("=")
    value = label_key(text)
    if (
        value == ""
        or not name.strip()
        or isinstance(label_key(name), int)
        or (isinstance(value, int) and value < 0)
    ):
        remedy = "Write mask value (or the name of a segment or region), =, class name."
        raise LabelError("a pair like 255=hydronephrosis", found=f'"{pair}"', remedy=remedy)
    return value, name.strip()


def suggestion(values: Iterable[int | str]) -> str:
    """The option that would declare these mask values."""
    pairs = ",".join(f"{value}=NAME" for value in sort_keys(values) if value)
    return f"Declare them: --label-map {pairs or '255=NAME'}"
