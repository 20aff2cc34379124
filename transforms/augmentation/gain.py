"""Gain and gamma: the brightness and contrast knobs of an ultrasound machine."""

from __future__ import annotations

import math

import torch
from monai.config import KeysCollection

from pyraseg.transforms.augmentation.base import RandFrameTransformd, RandIntensity, checked_range

__all__ = ["RandGain", "RandGaind"]


class RandGain(RandIntensity):
    """``gain * image ** gamma`` on (C, H, W) in [0, 1], clamped; black stays black. Both are drawn
    log-uniformly.

    Args:
        prob: the probability of acting.
        gain: lowest and highest factor.
        gamma: lowest and highest exponent; below 1 lifts the dark tissue, as a wider dynamic range does.

    Raises:
        ConfigError: a range that is not two ascending numbers above 0.
    """

    def __init__(
        self,
        prob: float = 0.1,
        *,
        gain: tuple[float, float] = (0.75, 1.3),
        gamma: tuple[float, float] = (0.75, 1.35),
    ) -> None:
        super().__init__(prob)
        self.gain = checked_range("gain", gain, above=0)
        self.gamma = checked_range("gamma", gamma, above=0)
        self._log_gain, self._gamma = 0.0, 1.0

    def draw(self, data: torch.Tensor) -> None:
        self._log_gain = self.R.uniform(*map(math.log, self.gain))
        self._gamma = math.exp(self.R.uniform(*map(math.log, self.gamma)))

    def shade_(self, tissue: torch.Tensor) -> None:
        # By logarithm and exponential: three times as fast as torch.pow, and 0 stays 0 by way of -inf.
        tissue.log_().mul_(self._gamma).add_(self._log_gain).exp_()


class RandGaind(RandFrameTransformd):
    """Dictionary form of `RandGain`."""

    def __init__(
        self,
        keys: KeysCollection,
        prob: float = 0.1,
        *,
        gain: tuple[float, float] = (0.75, 1.3),
        gamma: tuple[float, float] = (0.75, 1.35),
        allow_missing_keys: bool = False,
    ) -> None:
        super().__init__(keys, RandGain(prob, gain=gain, gamma=gamma), allow_missing_keys=allow_missing_keys)
