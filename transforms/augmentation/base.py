"""What random transforms of frames share: array and dictionary forms, and finding the letterbox bars."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Hashable, Mapping
from typing import Any, Self

import numpy as np
import torch
from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.transforms import MapTransform, RandomizableTransform

from pyraseg.transforms.errors import ConfigError
from pyraseg.transforms.geometry.letterbox import GREY

__all__ = [
    "RandFrameTransform",
    "RandFrameTransformd",
    "RandIntensity",
    "checked_range",
    "content_box",
    "like",
    "plain",
]

TOLERANCE = 1e-4  # of a grey level in [0, 1]: a fortieth of an 8-bit step
PROBES = 16  # pixels checked in each line of the first channel: in tissue they are never all of this grey


class RandFrameTransform(RandomizableTransform):
    """Base of the array forms: ``randomize`` draws, a call applies; (C, H, W) float32 in [0, 1] on the CPU.

    Args:
        prob: the probability that a call changes anything; otherwise it returns its argument itself.

    Raises:
        ConfigError: a probability outside [0, 1].
    """

    def __init__(self, prob: float = 0.1) -> None:
        if not 0 <= prob <= 1:
            raise ConfigError("a probability from 0 to 1", found=f"{prob}", remedy="Correct the probability.")
        super().__init__(prob)

    def randomize(self, data: torch.Tensor) -> None:
        """Decide whether to act on a frame such as ``data``, and draw how."""
        super().randomize(None)
        if self._do_transform:
            self.draw(data)

    def __call__(self, image: torch.Tensor, randomize: bool = True) -> torch.Tensor:
        """Apply to (C, H, W); with ``randomize=False`` apply the last draw again."""
        if randomize:
            self.randomize(image)
        return self.apply(image) if self._do_transform else image

    @abstractmethod
    def draw(self, data: torch.Tensor) -> None:
        """Draw the parameters from ``self.R``."""

    @abstractmethod
    def apply(self, image: torch.Tensor) -> torch.Tensor:
        """A new tensor; ``image`` may lie in a cache and is not changed."""


class RandIntensity(RandFrameTransform):
    """Base of the transforms that only change brightness; letterbox bars keep their grey."""

    @abstractmethod
    def shade_(self, tissue: torch.Tensor) -> None:
        """Change (C, h, w), the frame without bars, in place; it is a copy and is clamped afterwards."""

    def apply(self, image: torch.Tensor) -> torch.Tensor:
        pixels = plain(image).clone()
        rows, columns = content_box(pixels)
        tissue = pixels[:, rows, columns]
        self.shade_(tissue)
        tissue.clamp_(0, 1)
        return like(pixels, image)


class RandFrameTransformd(RandomizableTransform, MapTransform):
    """Dictionary form: one draw of the array form is applied to every key; equal seeds give equal results.

    A subclass names the array form as ``form``; arguments besides ``keys`` go to it.
    """

    form: type[RandFrameTransform]

    def __init__(
        self, keys: KeysCollection, *arguments: Any, allow_missing_keys: bool = False, **options: Any
    ) -> None:
        MapTransform.__init__(self, keys, allow_missing_keys)
        self.transform: Any = self.form(*arguments, **options)
        RandomizableTransform.__init__(self, self.transform.prob)

    def set_random_state(self, seed: int | None = None, state: np.random.RandomState | None = None) -> Self:
        super().set_random_state(seed, state)
        self.transform.set_random_state(seed, state)
        return self

    def randomize(self, data: torch.Tensor) -> None:
        self.transform.randomize(data)
        self._do_transform = self.transform._do_transform

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        item = dict(data)
        present = list(self.key_iterator(item))
        if present:
            self.randomize(item[present[0]])
        for key in present:
            item[key] = self.apply(key, item[key])
        return item

    def apply(self, key: Hashable, value: torch.Tensor) -> torch.Tensor:
        return self.transform(value, randomize=False)


def plain(image: torch.Tensor) -> torch.Tensor:
    """The pixels without metadata: dispatch makes operations on a MetaTensor slow."""
    return image.as_tensor() if isinstance(image, MetaTensor) else torch.as_tensor(image)


def like(pixels: torch.Tensor, image: torch.Tensor, index_map: np.ndarray | None = None) -> torch.Tensor:
    """``pixels`` with the metadata of ``image``, if it has any.

    Args:
        pixels: the result.
        image: the source of the result.
        index_map: 3 x 3, from (row, column) of the result to that of ``image``; the affine follows.
    """
    if not isinstance(image, MetaTensor):
        return pixels
    result = MetaTensor(pixels, meta=dict(image.meta), applied_operations=image.applied_operations)
    if index_map is not None:
        full = np.eye(4)
        full[np.ix_([0, 1, 3], [0, 1, 3])] = index_map
        result.affine = image.affine @ torch.as_tensor(full, dtype=image.affine.dtype)
    return result


def checked_range(
    name: str, values: tuple[float, float], *, above: float = -float("inf")
) -> tuple[float, float]:
    """``values`` as (lowest, highest).

    Raises:
        ConfigError: not two ascending numbers, or one that is not greater than ``above``.
    """
    low, high = (float(value) for value in values) if len(values) == 2 else (1.0, 0.0)
    if not above < low <= high < float("inf"):
        wanted = f"a {name} range of two ascending numbers"
        wanted += "" if above == -float("inf") else f" above {above:g}"
        remedy = "Give the lowest value first, then the highest."
        raise ConfigError(wanted, found=str(tuple(values)), remedy=remedy)
    return low, high


def content_box(pixels: torch.Tensor) -> tuple[slice, slice]:
    """The rows and columns of (C, H, W) without the letterbox bars: lines of grey at the border.

    A frame without bars, or of bars only, is all content.
    """
    channel = pixels[0].numpy()  # NumPy is several times as fast as torch on small arrays
    height, width = (max(1, size // PROBES) for size in channel.shape)
    return _content(channel[:, ::width], 1), _content(channel[::height], 0)


def _content(channel: np.ndarray, across: int) -> slice:
    """From the first line that is not grey to the last; lines run along the axis ``across``."""
    lines = np.flatnonzero((np.abs(channel - GREY) > TOLERANCE).any(axis=across))
    return slice(int(lines[0]), int(lines[-1]) + 1) if len(lines) else slice(None)
