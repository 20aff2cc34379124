"""Label maps for training: from values in the mask file to class indices, on the image's grid."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import torch
from monai.data import MetaTensor
from monai.transforms import MapTransform, Transform

from pyraseg.transforms.dictionary import DictionaryTransform
from pyraseg.transforms.errors import ConfigError, GeometryError, LabelError

__all__ = ["CheckSameGridd", "RemapLabels", "RemapLabelsd", "background_label"]

MAXIMUM_CLASSES = 256  # class indices are bytes
SHOWN = 10  # values that an error lists


def background_label(image: MetaTensor) -> MetaTensor:
    """The label map of an image (C, H, W[, D]) that shows none of the classes: uint8 zeros (1, H, W[, D]).

    >>> background_label(MetaTensor(torch.rand(3, 2, 2), meta={"case": "c1"})).tolist()
    [[[0, 0], [0, 0]]]
    """
    return MetaTensor(torch.zeros(1, *image.shape[1:], dtype=torch.uint8), meta=dict(image.meta))


class RemapLabels(Transform):
    """Map mask values to class indices, and refuse every other value.

    Args:
        label_map: from a value in the mask to its class, such as {0: 0, 255: 1}; values may be text, as in
            JSON. None: the values are the classes.
        num_classes: number of classes, background included; at most 256.

    Raises:
        ConfigError: an empty label map, one with other values than whole numbers, or an unknown class.

    >>> RemapLabels({0: 0, 255: 1}, num_classes=2)(torch.tensor([[[0, 255]]])).tolist()
    [[[0, 1]]]
    """

    def __init__(self, label_map: Mapping[Any, Any] | None, *, num_classes: int) -> None:
        if not 1 <= num_classes <= MAXIMUM_CLASSES:
            remedy = "Correct the label names."
            raise ConfigError(f"1 to {MAXIMUM_CLASSES} classes", found=str(num_classes), remedy=remedy)
        self.num_classes = num_classes
        if label_map is None:
            label_map = {value: value for value in range(num_classes)}
        self.label_map = dict(sorted(_whole_numbers(label_map).items()))
        beyond = sorted({index for index in self.label_map.values() if not 0 <= index < num_classes})
        if beyond:
            wanted = f"classes from 0 to {num_classes - 1} in the label map"
            remedy = "Correct the label map, or add the class to the label names."
            raise ConfigError(wanted, found=_listed(beyond), remedy=remedy)

    def __call__(self, label: torch.Tensor) -> torch.Tensor:
        """(1, H, W) of any number type to uint8 class indices of the same shape and metadata.

        Raises:
            LabelError: several channels (a colour mask), or an undeclared value.
        """
        plain = label.as_tensor() if isinstance(label, MetaTensor) else label
        case = getattr(label, "meta", {}).get("case", "without a name")
        if plain.ndim < 2 or plain.shape[0] != 1:
            found = f"an array of {_shape(plain)} in case {case}"
            remedy = "Convert colour masks to one channel of class values."
            raise LabelError("a mask with one channel", found=found, remedy=remedy)
        undeclared = [value for value in torch.unique(plain).tolist() if value not in self.label_map]
        if undeclared:
            wanted = f"mask values among {_listed(list(self.label_map))}"
            remedy = "Declare them when making the datalist, for example --label-map 255=hydronephrosis."
            raise LabelError(wanted, found=f"{_listed(undeclared)} in case {case}", remedy=remedy)
        classes = torch.zeros(plain.shape, dtype=torch.uint8, device=plain.device)
        for value, index in self.label_map.items():
            if index:
                classes[plain == value] = index
        return MetaTensor(classes, meta=label.meta) if isinstance(label, MetaTensor) else classes


class RemapLabelsd(DictionaryTransform):
    """`RemapLabels` on the entries of a dictionary.

    >>> item = {"label": torch.tensor([[[0, 255]]])}
    >>> RemapLabelsd("label", label_map={0: 0, 255: 1}, num_classes=2)(item)["label"].tolist()
    [[[0, 1]]]
    """

    form = RemapLabels


class CheckSameGridd(MapTransform):
    """Refuse an item whose entries differ in spatial size.

    Raises:
        GeometryError: with both sizes, on calling.

    >>> item = {"image": torch.zeros(3, 4, 5), "label": torch.zeros(1, 4, 5)}
    >>> sorted(CheckSameGridd(["image", "label"])(item))
    ['image', 'label']
    """

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        item = dict(data)
        first, *others = [(key, tuple(item[key].shape[1:])) for key in self.key_iterator(item)]
        for key, size in others:
            if size != first[1]:
                case = getattr(item[first[0]], "meta", {}).get("case", "without a name")
                wanted = f"a {key} of the {first[0]}'s size, {_shape(item[first[0]][0])}"
                remedy = "Check that they belong together; nothing is resized to fit."
                raise GeometryError(wanted, found=f"{_shape(item[key][0])} in case {case}", remedy=remedy)
        return item


def _whole_numbers(label_map: Mapping[Any, Any]) -> dict[int, int]:
    pairs = [(_whole(value), _whole(index)) for value, index in label_map.items()]
    mapping = {value: index for value, index in pairs if value is not None and index is not None}
    if not mapping or len(mapping) < len(label_map):
        wanted = "a label map from mask values to classes, all of them whole numbers and each value once"
        found = "something else among them" if label_map else "an empty one"
        raise ConfigError(wanted, found=found, remedy='Write it like {"0": 0, "255": 1}.')
    return mapping


def _whole(value: Any) -> int | None:
    """The whole number that ``value`` is or spells, else None: 1.0 is one, 1.5 is not."""
    try:
        number = int(value)
        return number if isinstance(value, str) or number == value else None
    except (TypeError, ValueError, OverflowError):
        return None


def _listed(values: Sequence[float]) -> str:
    return ", ".join(f"{value:g}" for value in values[:SHOWN]) + (", ..." if len(values) > SHOWN else "")


def _shape(array: torch.Tensor) -> str:
    return " x ".join(str(side) for side in array.shape)
