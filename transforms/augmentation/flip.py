"""Horizontal flip: left and right of a frame may change places, shallow and deep may not."""

from __future__ import annotations

import numpy as np
import torch
from monai.config import KeysCollection

from pyraseg.transforms.augmentation.base import RandFrameTransform, RandFrameTransformd, like, plain

__all__ = ["RandHorizontalFlip", "RandHorizontalFlipd"]


class RandHorizontalFlip(RandFrameTransform):
    """Reverse the columns of (C, H, W); a MetaTensor's affine follows.

    MONAI's RandFlip does this too, but makes a MetaTensor of every plain tensor, which slows all that comes
    after it.
    """

    def draw(self, data: torch.Tensor) -> None:
        """Nothing to draw but whether to act."""

    def apply(self, image: torch.Tensor) -> torch.Tensor:
        last = int(image.shape[2]) - 1
        return like(plain(image).flip(2), image, np.array([[1.0, 0, 0], [0, -1, last], [0, 0, 1]]))


class RandHorizontalFlipd(RandFrameTransformd):
    """Dictionary form of `RandHorizontalFlip`."""

    def __init__(self, keys: KeysCollection, prob: float = 0.1, *, allow_missing_keys: bool = False) -> None:
        super().__init__(keys, RandHorizontalFlip(prob), allow_missing_keys=allow_missing_keys)
