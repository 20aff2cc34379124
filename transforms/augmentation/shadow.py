"""Acoustic shadow: a soft-edged wedge behind a rib, a stone or gas."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from monai.config import KeysCollection

from pyraseg.transforms.augmentation.base import RandFrameTransformd, RandIntensity, checked_range

__all__ = ["RandAcousticShadow", "RandAcousticShadowd"]

CENTRE = (0.1, 0.9)  # fractions of the width
ONSET = (0.05, 0.5)  # fraction of the depth at which the shadow begins
HALF_WIDTH = (0.025, 0.1)  # fractions of the width, where it begins
SPREAD = (0.0, 0.8)  # how much wider, in half widths, one whole depth further down
TILT = (
    -0.3,
    0.3,
)  # fractions of the width that the axis drifts over the whole depth: beams of a sector diverge
RISE = 0.12  # fraction of the depth over which it reaches its full darkness
EDGE = 1.4  # half widths over which the side of the shadow fades


@dataclass(frozen=True)
class _Wedge:
    centre: float = 0.5
    onset: float = 0.5
    half_width: float = 0.05
    spread: float = 0.0
    tilt: float = 0.0
    strength: float = 0.0


class RandAcousticShadow(RandIntensity):
    """Darken a wedge of (C, H, W) below a random depth; the beam runs down the rows.

    Args:
        prob: the probability of acting.
        strength: lowest and highest fraction of the brightness that is lost in the core of the shadow.

    Raises:
        ConfigError: a range that is not two ascending numbers above 0 and at most 1.
    """

    def __init__(self, prob: float = 0.1, *, strength: tuple[float, float] = (0.3, 0.75)) -> None:
        super().__init__(prob)
        low, high = checked_range("shadow strength", strength, above=0)
        self.strength = checked_range("shadow strength", (low, high if high <= 1 else -1.0), above=0)
        self._wedge = _Wedge()

    def draw(self, data: torch.Tensor) -> None:
        ranges = (CENTRE, ONSET, HALF_WIDTH, SPREAD, TILT, self.strength)
        self._wedge = _Wedge(*(self.R.uniform(*limits) for limits in ranges))

    def shade_(self, tissue: torch.Tensor) -> None:
        wedge = self._wedge
        first, columns = int(wedge.onset * tissue.shape[1]), _reach(wedge, tissue.shape[2])
        below = torch.linspace(0, 1, tissue.shape[1])[first:, None] - wedge.onset
        across = torch.linspace(0, 1, tissue.shape[2])[columns]
        off_axis = (across - (wedge.centre + wedge.tilt * below)).abs_()
        half_width = wedge.half_width * (1 + wedge.spread * below)
        side = (half_width - off_axis).div_(EDGE * wedge.half_width).add_(0.5)
        shadow = _smooth(side).mul_(_smooth(below / RISE))
        tissue[:, first:, columns].mul_(shadow.mul_(-wedge.strength).add_(1))


class RandAcousticShadowd(RandFrameTransformd):
    """Dictionary form of `RandAcousticShadow`."""

    def __init__(
        self,
        keys: KeysCollection,
        prob: float = 0.1,
        *,
        strength: tuple[float, float] = (0.3, 0.75),
        allow_missing_keys: bool = False,
    ) -> None:
        super().__init__(
            keys, RandAcousticShadow(prob, strength=strength), allow_missing_keys=allow_missing_keys
        )


def _reach(wedge: _Wedge, width: int) -> slice:
    """The columns that the shadow can darken at any depth: nothing is computed for the others."""
    deepest = 1 - wedge.onset
    margin = wedge.half_width * (1 + wedge.spread * deepest + EDGE / 2)
    ends = wedge.centre, wedge.centre + wedge.tilt * deepest
    return slice(max(0, int((min(ends) - margin) * width)), max(0, math.ceil((max(ends) + margin) * width)))


def _smooth(ramp: torch.Tensor) -> torch.Tensor:
    """The cubic that leaves 0 and reaches 1 without a kink."""
    ramp = ramp.clamp(0, 1)
    return ramp.square().mul_(ramp.mul_(-2).add_(3))
