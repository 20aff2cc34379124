"""The lists of the Medical Segmentation Decathlon, as published: dataset.json."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pyraseg.pipeline.bundle.segments import BACKGROUND

__all__ = ["from_decathlon"]


def from_decathlon(content: Mapping[str, Any]) -> dict[str, Any]:
    """The label set of ``labels``, {"0": "background", "1": "liver"}, and items of a path alone as items.

    Source: Antonelli et al., The Medical Segmentation Decathlon, Nat Commun 13:4128, 2022.

    >>> from_decathlon({"labels": {"1": "liver", "0": "background"}, "test": ["./a.nii.gz"]})["test"]
    [{'image': './a.nii.gz'}]
    """
    taken = dict(content)
    if isinstance(test := content.get("test"), list):
        taken["test"] = [{"image": item} if isinstance(item, str) else item for item in test]
    labels = content.get("labels")
    if "label_names" in content or not isinstance(labels, dict) or not all(map(str.isdecimal, labels)):
        return taken
    values = sorted(labels, key=int)
    names = [labels[value] for value in values]
    if isinstance(names[0] if names else None, str) and names[0].casefold() == BACKGROUND:
        names[0] = BACKGROUND
    return taken | {"label_names": names, "label_map": {value: n for n, value in enumerate(values)}}
