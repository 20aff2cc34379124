"""What a network sees: the values of the steps that prepare its images, to keep, to compare and to name."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from enum import Enum
from typing import Any

import numpy as np
from monai.transforms import Compose, Transform

from pyraseg.transforms import CheckSameGridd

__all__ = ["describe_preprocessing", "differences", "image_differences", "sentence"]

OMITTED = object()
STEPS = "preprocessing"
IMAGE = "image"


def describe_preprocessing(preprocessing: Compose) -> dict[str, dict[str, Any]]:
    """The plain values of each transform of images, by the name of its class, in their order.

    They are read from the transforms themselves, so it does not matter which override or overlay set them. Of
    what loads a file only the name counts: how data are read is a matter of the data.

    Example:
        >>> from monai.transforms import Spacingd
        >>> found = describe_preprocessing(Compose([Spacingd(["image", "label"], pixdim=[4, 4, 4])]))
        >>> found["Spacingd"]["pixdim"]
        [4.0, 4.0, 4.0]
    """
    steps: dict[str, dict[str, Any]] = {}
    for step in preprocessing.flatten().transforms:
        keys = list(getattr(step, "keys", [IMAGE]))
        if IMAGE in keys and not isinstance(step, CheckSameGridd):
            name = type(step).__name__
            name += f" {count}" if (count := sum(n.split()[0] == name for n in steps)) else ""
            steps[name] = {} if name.startswith("Load") else _values(step, keys=keys)
    return steps


def differences(
    wanted: Mapping[str, Any], found: Mapping[str, Any], *, besides: Iterable[str] = ()
) -> dict[str, tuple[Any, Any]]:
    """The values that differ, by their path ("Spacingd pixdim"); what one side does not state is passed over.

    Under "preprocessing", whose entries are the steps of ``describe_preprocessing``, none may be missing.

    Example:
        >>> differences({"a": {"b": 1, "c": 2}}, {"a": {"b": 3}})
        {'a b': (1, 3)}
    """
    unequal: dict[str, tuple[Any, Any]] = {}
    for name in [name for name in wanted if name in found and name not in set(besides)]:
        one, other = wanted[name], found[name]
        if not (isinstance(one, Mapping) and isinstance(other, Mapping)):
            unequal |= {name: (one, other)} if one != other else {}
        elif name == STEPS and list(one) != list(other):
            unequal[name] = ", ".join(one), ", ".join(other)
        else:
            inner = differences(one, other, besides=besides)
            unequal |= {path if name == STEPS else f"{name} {path}": pair for path, pair in inner.items()}
    return unequal


def image_differences(
    facts: Mapping[str, Any], preprocessing: Compose, *, inferer: Any
) -> dict[str, tuple[Any, Any]]:
    """Where images, or their windows, are other than the ``preprocessing`` and ``input_size`` of a training.

    Args:
        facts: of the training; what it does not state is passed over.
        preprocessing: of the images.
        inferer: "whole" images must have the training's size; of others its windows must.
    """
    whole, used = inferer.mode == "whole", describe_preprocessing(preprocessing)
    given: dict[str, Any] = {"preprocessing": used}
    for size in [step["size"] for step in used.values() if "size" in step] if whole else [inferer.roi_size]:
        given["input_size"] = list(size)
    return differences(facts, given, besides=() if whole else ("size",))


def sentence(unequal: Mapping[str, tuple[Any, Any]], side: int) -> str:
    """One side of ``differences`` in words."""
    return ", ".join(f"{path} {pair[side]}" for path, pair in unequal.items())


def _values(step: Any, *, keys: list[Any]) -> dict[str, Any]:
    """Plain values of a transform and of the array transform within it; by key, those of images."""
    own: dict[str, Any] = {}
    inner: dict[str, Any] = {}
    for name, value in vars(step).items():
        if name.startswith("_") or name in ("keys", "allow_missing_keys"):
            continue
        if isinstance(value, Transform):
            inner |= _values(value, keys=[])
        elif isinstance(value, Mapping):
            own |= {str(n): _plain(v) for n, v in value.items()}
        else:
            by_key = isinstance(value, tuple) and len(value) == len(keys)  # as MONAI repeats them
            own[name] = _plain(value[keys.index(IMAGE)] if by_key else value)
    return {name: value for name, value in (inner | own).items() if value is not OMITTED}


def _plain(value: Any) -> Any:
    """A value that a file can keep with ``weights_only``; NaN, MONAI's mark for "not given", is None."""
    if isinstance(value, np.ndarray | np.generic):
        value = value.tolist()
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, list | tuple):
        parts = [_plain(part) for part in value]
        return OMITTED if any(part is OMITTED for part in parts) else parts
    if isinstance(value, float) and math.isnan(value):
        return None
    return value if value is None or isinstance(value, str | int | float | bool) else OMITTED
