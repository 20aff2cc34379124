"""The dictionary form of an array transform, for MONAI's pipelines of items."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

from monai.config import KeysCollection
from monai.transforms import MapTransform, Transform

__all__ = ["DictionaryTransform"]


class DictionaryTransform(MapTransform):
    """Call an array transform on each entry of ``keys``.

    A subclass names the array transform as ``form``; arguments besides ``keys`` go to it.
    """

    form: type[Transform]

    def __init__(
        self, keys: KeysCollection, *arguments: Any, allow_missing_keys: bool = False, **options: Any
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        self.transform: Any = self.form(*arguments, **options)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        item = dict(data)
        for key in self.key_iterator(item):
            item[key] = self.transform(item[key])
        return item
