"""Random ultrasound intensity transforms: gain, depth attenuation, speckle and acoustic shadow, on [0, 1] frames."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.transforms import MapTransform, RandomizableTransform

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

Range = tuple[float, float]


class RandIntensity(RandomizableTransform):
    """Base of the random intensity transforms: ``randomize`` draws the parameters, calling applies them.

    A frame is (C, H, W) float in [0, 1] and stays so; all its channels change alike.
    """

    def __init__(self, prob: float = 0.5) -> None:
        super().__init__(prob)
        self.drawn: Any = None

    def randomize(self, data: Any = None) -> None:
        super().randomize(None)
        self.drawn = self.draw() if self._do_transform else None

    def draw(self) -> Any:
        """Random parameters, independent of the frame's size."""
        raise NotImplementedError

    def apply(self, image: torch.Tensor, drawn: Any) -> torch.Tensor:
        """The changed image (C, H, W), a new tensor."""
        raise NotImplementedError

    def __call__(self, img: torch.Tensor, randomize: bool = True) -> torch.Tensor:
        if randomize:
            self.randomize()
        if self.drawn is None:
            return img
        plain = img.as_tensor() if isinstance(img, MetaTensor) else img
        out = self.apply(plain, self.drawn).clamp_(0, 1)
        return MetaTensor(out).copy_meta_from(img) if isinstance(img, MetaTensor) else out


class RandGain(RandIntensity):
    """Receiver gain in dB of the display's dynamic range, and a gamma as display curves differ.

    Args:
        gain: range of the brightness added, in units of white.
        gamma: range of the exponent; drawn so that its logarithm is uniform.
    """

    def __init__(self, prob: float = 0.5, *, gain: Range = (-0.1, 0.1), gamma: Range = (0.75, 1.35)) -> None:
        super().__init__(prob)
        self.gain, self.gamma = gain, gamma

    def draw(self) -> tuple[float, float]:
        return self.R.uniform(*self.gain), float(np.exp(self.R.uniform(*np.log(self.gamma))))

    def apply(self, image: torch.Tensor, drawn: tuple[float, float]) -> torch.Tensor:
        gain, gamma = drawn
        # Log compression turns gain into an added brightness; weighted by the image it leaves black black.
        curved = image.pow(gamma)
        return curved.mul_(1 + gain) if gain < 0 else torch.lerp(curved, curved.sqrt(), gain)


class RandDepthAttenuation(RandIntensity):
    """A time-gain compensation that is off: brightness falls or rises linearly along the rows, the beam's direction.

    Args:
        slope: range of the relative change from the first row to the last.
    """

    def __init__(self, prob: float = 0.5, *, slope: Range = (-0.5, 0.3)) -> None:
        super().__init__(prob)
        self.slope = slope

    def draw(self) -> float:
        return self.R.uniform(*self.slope)

    def apply(self, image: torch.Tensor, drawn: float) -> torch.Tensor:
        return image * torch.linspace(1, 1 + drawn, image.shape[-2]).reshape(1, -1, 1)


class RandSpeckle(RandIntensity):
    """Multiplicative noise, correlated over ``grain`` pixels, wider across the beam than along it.

    Args:
        strength: range of the noise's standard deviation, relative to the brightness.
        grain: size of a speckle along and across the beam, in pixels.
    """

    def __init__(self, prob: float = 0.5, *, strength: Range = (0.05, 0.2), grain: Sequence[int] = (2, 3)) -> None:
        super().__init__(prob)
        self.strength, self.grain = strength, (int(grain[0]), int(grain[1]))

    def draw(self) -> tuple[float, int]:
        return self.R.uniform(*self.strength), int(self.R.randint(2**31))

    def apply(self, image: torch.Tensor, drawn: tuple[float, int]) -> torch.Tensor:
        strength, seed = drawn
        height, width = image.shape[-2:]
        coarse = (-(-height // self.grain[0]) + 1, -(-width // self.grain[1]) + 1)
        noise = torch.empty(1, 1, *coarse).normal_(1.0, strength, generator=torch.Generator().manual_seed(seed))
        field = torch.nn.functional.interpolate(noise, size=(height, width), mode="bilinear")
        return image * field[0].to(image.device)


class RandAcousticShadow(RandIntensity):
    """A band below a strong reflector, as of a rib or a stone, that darkens everything deeper; soft at its sides.

    Args:
        width: range of the band's width, relative to the frame's.
        depth: range of the row where the shadow starts, relative to the frame's height.
        darkness: range of the brightness lost in the band's middle.
        tilt: largest lateral shift of the band from top to bottom, relative to the frame's width.
    """

    def __init__(
        self,
        prob: float = 0.5,
        *,
        width: Range = (0.05, 0.2),
        depth: Range = (0.0, 0.6),
        darkness: Range = (0.3, 0.8),
        tilt: float = 0.2,
    ) -> None:
        super().__init__(prob)
        self.width, self.depth, self.darkness, self.tilt = width, depth, darkness, tilt

    def draw(self) -> tuple[float, float, float, float, float]:
        centre, tilt = self.R.uniform(0, 1), self.R.uniform(-self.tilt, self.tilt)
        return centre, tilt, self.R.uniform(*self.width), self.R.uniform(*self.depth), self.R.uniform(*self.darkness)

    def apply(self, image: torch.Tensor, drawn: tuple[float, float, float, float, float]) -> torch.Tensor:
        centre, tilt, width, depth, darkness = drawn
        height, columns = image.shape[-2:]
        start = min(int(depth * height), height - 1)
        rows = torch.linspace(start / height, 1, height - start).reshape(-1, 1)
        # The band widens with depth as the beams of a curved probe do.
        distance = (torch.linspace(0, 1, columns) - (centre + tilt * rows)) / (width * (0.5 + rows))
        profile = distance.abs_().mul_(2).clamp_(0, 1)
        field = 1 - darkness * (1 - profile * profile * (3 - 2 * profile))
        out = image.clone()
        out[:, start:] *= field.to(image.device)
        return out


class RandIntensityd(MapTransform, RandomizableTransform):
    """Base of the dictionary forms: one draw for all keys."""

    def __init__(self, keys: KeysCollection, transform: RandIntensity, allow_missing_keys: bool) -> None:
        MapTransform.__init__(self, keys, allow_missing_keys)
        RandomizableTransform.__init__(self, transform.prob)
        self.transform = transform

    def set_random_state(self, seed: int | None = None, state: np.random.RandomState | None = None) -> RandIntensityd:
        super().set_random_state(seed, state)
        self.transform.set_random_state(seed, state)
        return self

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        item = dict(data)
        self.transform.randomize()
        for key in self.key_iterator(item):
            item[key] = self.transform(item[key], randomize=False)
        return item


class RandGaind(RandIntensityd):
    """`RandGain` on the entries of a dictionary."""

    def __init__(
        self, keys: KeysCollection, prob: float = 0.5, *, allow_missing_keys: bool = False, **options: Any
    ) -> None:
        super().__init__(keys, RandGain(prob, **options), allow_missing_keys)


class RandDepthAttenuationd(RandIntensityd):
    """`RandDepthAttenuation` on the entries of a dictionary."""

    def __init__(
        self, keys: KeysCollection, prob: float = 0.5, *, allow_missing_keys: bool = False, **options: Any
    ) -> None:
        super().__init__(keys, RandDepthAttenuation(prob, **options), allow_missing_keys)


class RandSpeckled(RandIntensityd):
    """`RandSpeckle` on the entries of a dictionary."""

    def __init__(
        self, keys: KeysCollection, prob: float = 0.5, *, allow_missing_keys: bool = False, **options: Any
    ) -> None:
        super().__init__(keys, RandSpeckle(prob, **options), allow_missing_keys)


class RandAcousticShadowd(RandIntensityd):
    """`RandAcousticShadow` on the entries of a dictionary."""

    def __init__(
        self, keys: KeysCollection, prob: float = 0.5, *, allow_missing_keys: bool = False, **options: Any
    ) -> None:
        super().__init__(keys, RandAcousticShadow(prob, **options), allow_missing_keys)
