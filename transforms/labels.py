"""Label maps for training: declared mask values to class indices, and one grid with the image."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import torch
from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.transforms import MapTransform, Transform

from transforms.errors import ConfigError, GeometryError, LabelError

__all__ = ["CheckSameGridd", "MapLabelValues", "MapLabelValuesd"]

SHOWN = 10  # values that an error lists before it goes over to counting


class MapLabelValues(Transform):
    """Turn the values of a mask (1, H, W) into class indices, uint8; a value that is not declared is refused.

    Args:
        label_map: mask value to class index, for example {"0": 0, "255": 1}; the keys may be text, as JSON has them.
            None: the mask holds class indices already.
        num_classes: with it, every class index lies below it.

    Raises:
        ConfigError: a key that is no whole number, or a class index outside 0 to ``num_classes`` - 1 (or 255).
    """

    def __init__(self, label_map: Mapping[Any, int] | None = None, *, num_classes: int | None = None) -> None:
        if label_map is None and num_classes is None:
            raise ConfigError("a label map or the number of classes", found="neither", remedy="Give one of them.")
        pairs = {v: v for v in range(num_classes or 0)} if label_map is None else _whole_numbers(label_map)
        self.label_map = dict(sorted(pairs.items()))
        highest = 255 if num_classes is None else num_classes - 1
        if outside := sorted({index for index in self.label_map.values() if not 0 <= index <= highest}):
            raise ConfigError(
                f"class indices from 0 to {highest}",
                found=f"{_listed(outside)} in the label map",
                remedy="Correct the label map or the label names.",
            )

    def __call__(self, mask: torch.Tensor) -> torch.Tensor:
        """Class indices (1, H, W).

        Raises:
            LabelError: several channels, or values that are not declared.
        """
        plain = mask.as_tensor() if isinstance(mask, MetaTensor) else torch.as_tensor(mask)
        where = _in_case(mask)
        if plain.ndim != 3 or plain.shape[0] != 1:
            raise LabelError(
                "a mask of one channel whose values are classes",
                found=f"an array of {' x '.join(str(n) for n in plain.shape)}{where}",
                remedy="Save the mask as PNG or NIfTI with one channel and one value per class, not as a colour picture.",
            )
        values = torch.unique(plain).tolist()
        if undeclared := [value for value in values if value not in self.label_map]:
            raise LabelError(
                f"the declared mask values {_listed(list(self.label_map))}",
                found=f"{_listed(undeclared)} beside {_listed([v for v in values if v in self.label_map])}{where}",
                remedy="Declare the value in the datalist's label map (--label-map VALUE=NAME) or correct the mask.",
            )
        indices = torch.zeros(plain.shape, dtype=torch.uint8, device=plain.device)
        for value in values:
            indices[plain == value] = self.label_map[int(value)]
        return MetaTensor(indices).copy_meta_from(mask) if isinstance(mask, MetaTensor) else indices


class MapLabelValuesd(MapTransform):
    """`MapLabelValues` on the entries of a dictionary."""

    def __init__(
        self,
        keys: KeysCollection = "label",
        label_map: Mapping[Any, int] | None = None,
        *,
        num_classes: int | None = None,
        allow_missing_keys: bool = False,
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        self.transform = MapLabelValues(label_map, num_classes=num_classes)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        item = dict(data)
        for key in self.key_iterator(item):
            item[key] = self.transform(item[key])
        return item


class CheckSameGridd(MapTransform):
    """Refuse an item whose entries, (C, H, W) each, differ in size; the first key is the reference."""

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Return the item as it is.

        Raises:
            GeometryError: two sizes, with both of them named.
        """
        item = dict(data)
        present = list(self.key_iterator(item))
        for key in present[1:]:
            reference, other = item[present[0]], item[key]
            if reference.shape[-2:] != other.shape[-2:]:
                raise GeometryError(
                    f"{key} of the same size as {present[0]}, {_size(reference)}",
                    found=f"{_size(other)}{_in_case(reference)}",
                    remedy="Export the mask on the image's own grid.",
                )
        return item


def _whole_numbers(label_map: Mapping[Any, int]) -> dict[int, int]:
    try:
        return {int(value): int(index) for value, index in label_map.items()}
    except (TypeError, ValueError):
        raise ConfigError(
            "a label map from mask values to class indices, both whole numbers",
            found="something else among them",
            remedy='Write it like {"0": 0, "255": 1}.',
        ) from None


def _listed(values: list[Any]) -> str:
    if not values:
        return "no declared value"
    shown = ", ".join(f"{value:g}" for value in values[:SHOWN])
    return f"{shown} and {len(values) - SHOWN} more" if len(values) > SHOWN else shown


def _size(image: torch.Tensor) -> str:
    return f"{image.shape[-2]} x {image.shape[-1]} pixels"


def _in_case(image: Any) -> str:
    case = image.meta.get("case") if isinstance(image, MetaTensor) else None
    return f", in case {case}" if case else ""
