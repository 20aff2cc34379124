"""Label maps for training: from the values in the mask file to class indices, on the image's grid."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import torch
from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.transforms import MapTransform, Transform

from transforms.errors import GeometryError, LabelError

__all__ = ["CheckSameGridd", "MapLabelValues", "MapLabelValuesd"]


class MapLabelValues(Transform):
    """Map mask values to class indices and refuse every other value.

    Args:
        label_map: from a value in the mask to its class; the classes themselves if None.
        num_classes: number of classes, background included.
    """

    def __init__(self, label_map: Mapping[int, int] | None, *, num_classes: int) -> None:
        self.num_classes = num_classes
        self.label_map = {int(k): int(v) for k, v in sorted((label_map or {k: k for k in range(num_classes)}).items())}

    def __call__(self, label: torch.Tensor) -> torch.Tensor:
        """(1, H, W) of any number type to uint8 class indices of the same shape and metadata.

        Raises:
            LabelError: several channels (a colour mask), or a value that the map does not declare.
        """
        plain = label.as_tensor() if isinstance(label, MetaTensor) else label
        case = getattr(label, "meta", {}).get("case", "without a name")
        if plain.shape[0] != 1:
            remedy = "Convert colour masks to one channel of class values."
            raise LabelError("a mask with one channel", found=f"{plain.shape[0]} in case {case}", remedy=remedy)
        self._check_values(plain, case)
        classes = torch.zeros(plain.shape, dtype=torch.uint8)
        for value, index in self.label_map.items():
            if index:
                classes[plain == value] = index
        return MetaTensor(classes, meta=label.meta) if isinstance(label, MetaTensor) else classes

    def _check_values(self, plain: torch.Tensor, case: str) -> None:
        undeclared = [value for value in torch.unique(plain).tolist() if value not in self.label_map]
        if undeclared:
            shown = ", ".join(f"{value:g}" for value in undeclared[:5]) + (", ..." if len(undeclared) > 5 else "")
            raise LabelError(
                f"mask values among {', '.join(map(str, self.label_map))}",
                found=f"{shown} in case {case}",
                remedy="Declare them when making the datalist, for example --label-map 255=hydronephrosis.",
            )


class MapLabelValuesd(MapTransform):
    """`MapLabelValues` on the entries of a dictionary."""

    def __init__(
        self,
        keys: KeysCollection,
        label_map: Mapping[int, int] | None,
        *,
        num_classes: int,
        allow_missing_keys: bool = False,
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        self.map_values = MapLabelValues(label_map, num_classes=num_classes)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        item = dict(data)
        for key in self.key_iterator(item):
            item[key] = self.map_values(item[key])
        return item


class CheckSameGridd(MapTransform):
    """Refuse an item whose entries differ in their spatial size.

    Raises:
        GeometryError: with both sizes, on calling.
    """

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        item = dict(data)
        first, *others = [(key, tuple(item[key].shape[1:])) for key in self.key_iterator(item)]
        for key, size in others:
            if size != first[1]:
                case = getattr(item[first[0]], "meta", {}).get("case", "without a name")
                raise GeometryError(
                    f"a {key} of the {first[0]}'s size, {' x '.join(map(str, first[1]))}",
                    found=f"{' x '.join(map(str, size))} in case {case}",
                    remedy="Check that they belong together; nothing is resized to fit.",
                )
        return item
