"""Changes of brightness as between scanners, settings or patients; nothing moves.

Speckle, acoustic shadow, attenuation with depth (wrong time-gain compensation), gain and gamma.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F

from pyraseg.transforms.augmentation.base import RandFrameTransformd, RandIntensity, checked_range

__all__ = [
    "RandAcousticShadow",
    "RandAcousticShadowd",
    "RandDepthAttenuation",
    "RandDepthAttenuationd",
    "RandGain",
    "RandGaind",
    "RandSpeckle",
    "RandSpeckled",
]

# Of an acoustic shadow: a soft-edged wedge behind a rib, a stone or gas
CENTRE = (0.1, 0.9)  # fractions of the width
ONSET = (0.05, 0.5)  # fraction of the depth at which the shadow begins
HALF_WIDTH = (0.025, 0.1)  # fractions of the width, where it begins
SPREAD = (0.0, 0.8)  # growth of the width, in half widths, over the whole depth
TILT = (-0.3, 0.3)  # drift of the axis over the whole depth, in fractions of the width: beams diverge
RISE = 0.12  # fraction of the depth over which it reaches its full darkness
EDGE = 1.4  # half widths over which the side of the shadow fades


class RandGain(RandIntensity):
    """``gain * image ** gamma`` on (C, H, W) in [0, 1], clamped, both drawn log-uniformly; black stays black.

    Args:
        prob: the probability of acting.
        gain: lowest and highest factor.
        gamma: lowest and highest exponent; below 1 lifts the dark tissue, as a wider dynamic range does.

    Raises:
        ConfigError: a range that is not two ascending numbers above 0.

    >>> RandGain(1.0)(torch.rand(1, 60, 80)).shape
    torch.Size([1, 60, 80])
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
        # Logarithm and exponential are three times as fast as torch.pow; 0 becomes -inf and then 0 again.
        tissue.log_().mul_(self._gamma).add_(self._log_gain).exp_()


class RandGaind(RandFrameTransformd):
    """`RandGain` on the entries of a dictionary.

    >>> RandGaind("image", 1.0)({"image": torch.rand(1, 60, 80)})["image"].shape
    torch.Size([1, 60, 80])
    """

    form = RandGain


class RandDepthAttenuation(RandIntensity):
    """Multiply (C, H, W) by ``exp(-slope * (depth - 1/2))``, depth from 0 in the top row to 1 in the last.

    The beam runs down the rows. The middle row keeps its brightness, so this is no gain as well.

    Args:
        prob: the probability of acting.
        slope: lowest and highest logarithm of the brightness lost from top to bottom; negative is gained.

    Raises:
        ConfigError: a range that is not two ascending numbers.

    >>> RandDepthAttenuation(1.0)(torch.rand(1, 60, 80)).shape
    torch.Size([1, 60, 80])
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
    """`RandDepthAttenuation` on the entries of a dictionary.

    >>> RandDepthAttenuationd("image", 1.0)({"image": torch.rand(1, 60, 80)})["image"].shape
    torch.Size([1, 60, 80])
    """

    form = RandDepthAttenuation


class RandSpeckle(RandIntensity):
    """Multiply (C, H, W) by ``1 + strength * noise``, one correlated Gaussian field for all channels.

    The field is drawn on a coarse grid and resampled bilinearly: grains are wider across the beam.

    Args:
        prob: the probability of acting.
        strength: lowest and highest standard deviation of the factor on the coarse grid.
        grain: size of a grain in pixels, (along the beam, across it): the coarse grid's spacing.

    Raises:
        ConfigError: a range that is not two ascending numbers above 0, or a grain below 1 pixel.

    >>> RandSpeckle(1.0)(torch.rand(1, 60, 80)).shape
    torch.Size([1, 60, 80])
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
        # torch draws the field ten times as fast as the RandomState, which only seeds it.
        generator = torch.Generator().manual_seed(int(self.R.randint(2**31)))
        self._field = torch.randn(1, 1, *coarse, generator=generator).mul_(self.R.uniform(*self.strength))

    def shade_(self, tissue: torch.Tensor) -> None:
        size = [length * grain for length, grain in zip(self._field.shape[2:], self.grain, strict=True)]
        field = F.interpolate(self._field, size, mode="bilinear", align_corners=False)[0]
        # A piece as large as the tissue: stretching the field would change the grain.
        tissue.mul_(field[:, : tissue.shape[1], : tissue.shape[2]].add_(1).clamp_(min=0))


class RandSpeckled(RandFrameTransformd):
    """`RandSpeckle` on the entries of a dictionary.

    >>> RandSpeckled("image", 1.0)({"image": torch.rand(1, 60, 80)})["image"].shape
    torch.Size([1, 60, 80])
    """

    form = RandSpeckle


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

    >>> RandAcousticShadow(1.0)(torch.rand(1, 60, 80)).shape
    torch.Size([1, 60, 80])
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
    """`RandAcousticShadow` on the entries of a dictionary.

    >>> RandAcousticShadowd("image", 1.0)({"image": torch.rand(1, 60, 80)})["image"].shape
    torch.Size([1, 60, 80])
    """

    form = RandAcousticShadow


def _reach(wedge: _Wedge, width: int) -> slice:
    """The columns that the shadow can darken at any depth; only these are computed."""
    deepest = 1 - wedge.onset
    margin = wedge.half_width * (1 + wedge.spread * deepest + EDGE / 2)
    ends = wedge.centre, wedge.centre + wedge.tilt * deepest
    return slice(max(0, int((min(ends) - margin) * width)), max(0, math.ceil((max(ends) + margin) * width)))


def _smooth(ramp: torch.Tensor) -> torch.Tensor:
    """The cubic from 0 to 1 with flat ends."""
    ramp = ramp.clamp(0, 1)
    return ramp.square().mul_(ramp.mul_(-2).add_(3))
