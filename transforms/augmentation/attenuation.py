"""Depth attenuation: time-gain compensation set too weak or too strong."""

from __future__ import annotations

import torch
from monai.config import KeysCollection

from pyraseg.transforms.augmentation.base import RandFrameTransformd, RandIntensity, checked_range

__all__ = ["RandDepthAttenuation", "RandDepthAttenuationd"]


class RandDepthAttenuation(RandIntensity):
    """Multiply (C, H, W) by ``exp(-slope * (depth - 1/2))``, depth from 0 in the top row to 1 in the bottom
    one.

    The beam runs down the rows; the middle row keeps its brightness, so that this does not double as a gain.

    Args:
        prob: the probability of acting.
        slope: lowest and highest natural logarithm of the brightness lost from top to bottom; below 0 is
            gained.

    Raises:
        ConfigError: a range that is not two ascending numbers.
    """

    def __init__(self, prob: float = 0.1, *, slope: tuple[float, float] = (-0.5, 1.0)) -> None:
        super().__init__(prob)
        self.slope = checked_range("slope", slope)
        self._slope = 0.0

    def draw(self, data: torch.Tensor) -> None:
        self._slope = self.R.uniform(*self.slope)

    def shade_(self, tissue: torch.Tensor) -> None:
        depth = torch.linspace(-0.5, 0.5, tissue.shape[1], dtype=tissue.dtype)
        tissue.mul_(torch.exp(-self._slope * depth)[:, None])


class RandDepthAttenuationd(RandFrameTransformd):
    """Dictionary form of `RandDepthAttenuation`."""

    def __init__(
        self,
        keys: KeysCollection,
        prob: float = 0.1,
        *,
        slope: tuple[float, float] = (-0.5, 1.0),
        allow_missing_keys: bool = False,
    ) -> None:
        super().__init__(keys, RandDepthAttenuation(prob, slope=slope), allow_missing_keys=allow_missing_keys)
