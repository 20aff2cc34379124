"""Movements in the plane of image and label together: flip, small rotation, scaling and translation.

On one thread MONAI's RandAffined takes four times as long (tests/bench/augmentation.py).
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from monai.config import KeysCollection
from monai.utils import ensure_tuple_rep

from pyraseg.transforms.augmentation.base import (
    RandFrameTransform,
    RandFrameTransformd,
    checked_range,
    like,
    plain,
)
from pyraseg.transforms.errors import ConfigError
from pyraseg.transforms.geometry.letterbox import GREY

__all__ = ["RandFrameAffine", "RandFrameAffined", "RandHorizontalFlip", "RandHorizontalFlipd"]


class RandFrameAffine(RandFrameTransform):
    """Rotate, scale and shift (C, H, W) about its centre, isotropic in pixels; a MetaTensor's affine follows.

    Outside the frame an image is the letterbox's grey, a label map or soft label 0. The dtype is kept; soft
    labels in bytes are rounded to the nearest.

    Args:
        prob: the probability of acting.
        rotation: the largest angle in degrees, in either direction.
        scale: lowest and highest magnification, drawn log-uniformly.
        translation: the largest shift in either direction, as a fraction of height and width.
        mode: "bilinear" for images, "nearest" for label maps, "soft" (bilinear, 0 outside) for soft labels.

    Raises:
        ConfigError: a mode, an angle, a magnification or a shift out of range.

    >>> RandFrameAffine(1.0, rotation=15.0).set_random_state(0)(torch.rand(1, 60, 80)).shape
    torch.Size([1, 60, 80])
    """

    def __init__(
        self,
        prob: float = 0.1,
        *,
        rotation: float = 15.0,
        scale: tuple[float, float] = (0.85, 1.2),
        translation: float = 0.08,
        mode: str = "bilinear",
    ) -> None:
        super().__init__(prob)
        self.rotation = checked_range("rotation", (0, rotation))[1]
        self.scale = checked_range("scale", scale, above=0)
        self.translation = checked_range("translation", (0, translation))[1]
        self.mode = _checked_mode(mode)
        self._inverse, self._shift = np.eye(2), np.zeros(2)
        self._grid: torch.Tensor | None = None

    def draw(self, data: torch.Tensor) -> None:
        angle = math.radians(self.R.uniform(-self.rotation, self.rotation))
        zoom = math.exp(self.R.uniform(*map(math.log, self.scale)))
        self._shift = self.R.uniform(-self.translation, self.translation, size=2)
        cosine, sine = math.cos(angle), math.sin(angle)
        self._inverse = np.array([[cosine, -sine], [sine, cosine]]) / zoom
        self._grid = None

    def apply(self, image: torch.Tensor) -> torch.Tensor:
        return self.resample(image, mode=self.mode)

    def resample(self, image: torch.Tensor, *, mode: str) -> torch.Tensor:
        """Apply the drawn movement to (C, H, W) in ``mode``."""
        pixels = plain(image)
        size = (int(pixels.shape[1]), int(pixels.shape[2]))
        if self._grid is None or self._grid.shape[1:3] != size:
            self._grid = self._make_grid(size)  # for the item's other keys
        # The sampler fills with 0: shifting the image by the bars' grey fills with that grey.
        shifted = pixels - GREY if mode == "bilinear" else pixels.float()
        sampling = "nearest" if mode == "nearest" else "bilinear"
        moved = F.grid_sample(shifted[None], self._grid, mode=sampling, align_corners=False)[0]
        if mode == "bilinear":
            moved = moved.add_(GREY).clamp_(0, 1)
        elif not pixels.is_floating_point():
            moved = moved.round_().to(pixels.dtype)
        return like(moved, image, self._index_map(size))

    def _index_map(self, size: tuple[int, int]) -> np.ndarray:
        """3 x 3: from a (row, column) of the result to the one in the source, in pixels."""
        centre = (np.array(size) - 1) / 2
        index_map = np.eye(3)
        index_map[:2, :2] = self._inverse
        index_map[:2, 2] = centre - self._inverse @ (centre + self._shift * size)
        return index_map

    def _make_grid(self, size: tuple[int, int]) -> torch.Tensor:
        """The same map for grid_sample, which counts (x, y) in halves of the size from the centre."""
        half = np.array(size) / 2
        linear = self._inverse * half[None, :] / half[:, None]
        offset = -(self._inverse @ (self._shift * size)) / half
        theta = np.column_stack([linear[::-1, ::-1], offset[::-1]])
        return F.affine_grid(torch.from_numpy(theta).float()[None], [1, 1, *size], align_corners=False)


class RandFrameAffined(RandFrameTransformd):
    """`RandFrameAffine` on the entries of a dictionary; ``mode`` may differ by key.

    By default the first key is the image, the others are label maps.

    >>> item = {"image": torch.rand(1, 60, 80), "label": torch.ones(1, 60, 80, dtype=torch.uint8)}
    >>> RandFrameAffined(["image", "label"], 1.0).set_random_state(0)(item)["label"].unique().tolist()
    [0, 1]
    """

    form = RandFrameAffine

    def __init__(
        self,
        keys: KeysCollection,
        prob: float = 0.1,
        *,
        mode: str | Sequence[str] | None = None,
        **options: Any,
    ) -> None:
        super().__init__(keys, prob, **options)
        others = len(self.keys) - 1
        modes = ("bilinear", *["nearest"] * others) if mode is None else ensure_tuple_rep(mode, others + 1)
        self.modes = dict(zip(self.keys, map(_checked_mode, modes), strict=True))

    def apply(self, key: Hashable, value: torch.Tensor) -> torch.Tensor:
        return self.transform.resample(value, mode=self.modes[key]) if self._do_transform else value


def _checked_mode(mode: str) -> str:
    if mode not in ("bilinear", "nearest", "soft"):
        remedy = "Use bilinear for images, nearest for label maps, soft for soft labels."
        raise ConfigError("a mode of bilinear, nearest or soft", found=repr(mode), remedy=remedy)
    return mode


class RandHorizontalFlip(RandFrameTransform):
    """Reverse the columns of (C, H, W); a MetaTensor's affine follows.

    MONAI's RandFlip turns every plain tensor into a MetaTensor, which slows all that follows.

    >>> RandHorizontalFlip(1.0)(torch.rand(1, 60, 80)).shape
    torch.Size([1, 60, 80])
    """

    def draw(self, data: torch.Tensor) -> None:
        """Draws nothing but whether to act."""

    def apply(self, image: torch.Tensor) -> torch.Tensor:
        last = int(image.shape[2]) - 1
        return like(plain(image).flip(2), image, np.array([[1.0, 0, 0], [0, -1, last], [0, 0, 1]]))


class RandHorizontalFlipd(RandFrameTransformd):
    """`RandHorizontalFlip` on the entries of a dictionary.

    >>> RandHorizontalFlipd("image", 1.0)({"image": torch.rand(1, 60, 80)})["image"].shape
    torch.Size([1, 60, 80])
    """

    form = RandHorizontalFlip
