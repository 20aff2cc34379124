"""Frames beside what they were before random damage: the task of self-supervised pretraining.

The ultrasound bundle's pretrain.yaml lists the damage. In-painting, out-painting, local pixel shuffling and
non-linear intensity are those of Models Genesis (Zhou et al., Medical Image Analysis 2021, arXiv
2004.07882); in-painting goes back to context encoders (Pathak et al., CVPR 2016). Speckle and acoustic
shadow are ultrasound's own, and blurring besides masking is the finding of Kang et al., Deblurring Masked
Autoencoder is Better Recipe for Ultrasound Image Recognition, MICCAI 2023 (arXiv 2306.08249).
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import torch
from monai.config import KeysCollection
from monai.transforms import MapTransform, Transform

from pyraseg.transforms.augmentation.base import content_box, plain

__all__ = ["RepeatPlaind", "RestorationPaird", "TissueRegion", "TissueRegiond"]

VISIBLE = 0.02  # of [0, 1]: five steps of an 8-bit frame, above what compression leaves in black


class TissueRegion(Transform):
    """Where a preprocessed frame (1, H, W) has something to restore, as (1, H, W) uint8, 1 inside.

    A pixel is inside if brightness is found left and right of it, above and below it: fluid is black and
    belongs to the tissue, what lies beside the sector is black and does not. The letterbox's bars are
    outside.

    >>> frame = torch.tensor([[[0, 0.5, 0], [0.5, 0, 0.5], [0, 0.5, 0]]])
    >>> TissueRegion()(frame).tolist()
    [[[0, 1, 0], [1, 1, 1], [0, 1, 0]]]
    """

    def __call__(self, image: torch.Tensor) -> torch.Tensor:
        pixels = plain(image)
        rows, columns = content_box(pixels)
        region = torch.zeros(pixels.shape, dtype=torch.uint8)
        seen = (pixels[:, rows, columns] > VISIBLE).to(torch.uint8)
        region[:, rows, columns] = torch.stack([_reached(seen, axis) for axis in (1, 2)]).amin(0)
        return region


class TissueRegiond(MapTransform):
    """`TissueRegion` of the entry ``keys`` as the new entry ``region_key``.

    >>> sorted(TissueRegiond()({"image": torch.rand(1, 60, 80)}))
    ['image', 'tissue']
    """

    def __init__(self, keys: KeysCollection = "image", region_key: str = "tissue") -> None:
        super().__init__(keys)
        self.region_key = region_key
        self.transform = TissueRegion()

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        item = dict(data)
        for key in self.key_iterator(item):
            item[self.region_key] = self.transform(item[key])
        return item


class RestorationPaird(MapTransform):
    """From ``image`` and ``tissue``, (1, H, W) each, make ``label`` (2, H, W): what to restore, and where.

    ``image`` becomes a copy: MONAI's coarse transforms write into the very tensor that they are given.

    >>> item = TissueRegiond()({"image": torch.rand(1, 60, 80)})
    >>> RestorationPaird()(item)["label"].shape
    torch.Size([2, 60, 80])
    """

    def __init__(self) -> None:
        super().__init__(["image", "tissue"])

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        item = dict(data)
        image, tissue = plain(item["image"]), plain(item.pop("tissue"))
        item["label"] = torch.cat([image, tissue.to(image.dtype)])
        item["image"] = image.clone()
        return item


class RepeatPlaind(MapTransform):
    """The entries as plain tensors (channels, H, W), clamped to [0, 1]; grey (1, H, W) comes in.

    >>> RepeatPlaind("image", channels=3)({"image": torch.rand(1, 60, 80)})["image"].shape
    torch.Size([3, 60, 80])
    """

    def __init__(self, keys: KeysCollection, channels: int) -> None:
        super().__init__(keys)
        self.channels = channels

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        item = dict(data)
        for key in self.key_iterator(item):
            item[key] = plain(item[key]).clamp(0, 1).repeat(self.channels, 1, 1)
        return item


def _reached(seen: torch.Tensor, axis: int) -> torch.Tensor:
    """1 where something was seen at or before, and at or behind, along the axis."""
    before = seen.cummax(axis).values
    behind = seen.flip(axis).cummax(axis).values.flip(axis)
    return torch.minimum(before, behind)
