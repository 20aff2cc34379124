"""``255=hydronephrosis`` on the command line: class names and the mask values that stand for them."""

from __future__ import annotations

from collections.abc import Iterable

from pipeline.datalist.rules import BACKGROUND, check_labels
from transforms.errors import LabelError

__all__ = ["parse_label_map", "suggestion"]


def parse_label_map(pairs: Iterable[str]) -> tuple[list[str], dict[int, int]]:
    """Class names in the order given behind the background, and the map from mask values to classes.

    Args:
        pairs: "value=name", each text one pair or several with commas: ["128=kidney,255=hydronephrosis"]. Several
            values may share a name. The value 0 is the background unless it is given another name.

    Returns:
        ``(["background", "kidney", "hydronephrosis"], {0: 0, 128: 1, 255: 2})``.

    Raises:
        LabelError: a pair that does not read so, a value given twice, or no pair at all.
    """
    named: dict[int, str] = {}
    for pair in (part.strip() for text in pairs for part in text.split(",")):
        value, name = _parse(pair)
        if value in named:
            raise LabelError("each mask value once", found=f"{value} twice", remedy="Give each value one name.")
        named[value] = name
    names = [BACKGROUND, *dict.fromkeys(name for name in named.values() if name != BACKGROUND)]
    mapping = {0: 0} | {value: names.index(name) for value, name in named.items()}
    check_labels(names, mapping)
    return names, dict(sorted(mapping.items()))


def _parse(pair: str) -> tuple[int, str]:
    value, separator, name = pair.partition("=")
    if not separator or not value.strip().isdecimal() or not name.strip():
        raise LabelError("a pair like 255=hydronephrosis", found=f'"{pair}"', remedy="Write mask value, =, class name.")
    return int(value), name.strip()


def suggestion(values: Iterable[int]) -> str:
    """The option that would declare these mask values."""
    pairs = ",".join(f"{value}=NAME" for value in sorted(values) if value)
    return f"Declare them: --label-map {pairs or '255=NAME'}"
