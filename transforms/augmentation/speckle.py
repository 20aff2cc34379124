"""Multiplicative speckle, correlated over a few pixels as a machine's point spread makes it."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from monai.config import KeysCollection

from pyraseg.transforms.augmentation.base import RandFrameTransformd, RandIntensity, checked_range

__all__ = ["RandSpeckle", "RandSpeckled"]


class RandSpeckle(RandIntensity):
    """Multiply (C, H, W) by ``1 + strength * noise``, one correlated Gaussian field for all channels.

    The field is drawn on a coarse grid and resampled bilinearly, so grains are wider across the beam than
    along it.

    Args:
        prob: the probability of acting.
        strength: lowest and highest standard deviation of the factor on the coarse grid.
        grain: size of a grain in pixels, (along the beam, across it): the coarse grid's spacing.

    Raises:
        ConfigError: a range that is not two ascending numbers above 0, or a grain below 1 pixel.
    """

    def __init__(
        self,
        prob: float = 0.1,
        *,
        strength: tuple[float, float] = (0.05, 0.2),
        grain: tuple[int, int] = (2, 4),
    ) -> None:
        super().__init__(prob)
        self.strength = checked_range("strength", strength, above=0)
        self.grain = tuple(int(checked_range("grain", (1, size))[1]) for size in grain)
        self._field = torch.zeros(1, 1, 1, 1)

    def draw(self, data: torch.Tensor) -> None:
        coarse = [-(-int(size) // grain) for size, grain in zip(data.shape[1:], self.grain, strict=True)]
        # torch draws the field ten times as fast as the RandomState, which seeds it.
        generator = torch.Generator().manual_seed(int(self.R.randint(2**31)))
        self._field = torch.randn(1, 1, *coarse, generator=generator).mul_(self.R.uniform(*self.strength))

    def shade_(self, tissue: torch.Tensor) -> None:
        size = [length * grain for length, grain in zip(self._field.shape[2:], self.grain, strict=True)]
        field = F.interpolate(self._field, size, mode="bilinear", align_corners=False)[0]
        # A piece as large as the tissue: stretching the field to it would change the grain.
        tissue.mul_(field[:, : tissue.shape[1], : tissue.shape[2]].add_(1).clamp_(min=0))


class RandSpeckled(RandFrameTransformd):
    """Dictionary form of `RandSpeckle`."""

    def __init__(
        self,
        keys: KeysCollection,
        prob: float = 0.1,
        *,
        strength: tuple[float, float] = (0.05, 0.2),
        grain: tuple[int, int] = (2, 4),
        allow_missing_keys: bool = False,
    ) -> None:
        super().__init__(
            keys, RandSpeckle(prob, strength=strength, grain=grain), allow_missing_keys=allow_missing_keys
        )
