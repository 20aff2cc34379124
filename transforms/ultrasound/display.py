"""Display values of ultrasound frames: scaling to [0, 1] and the number of channels."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import torch
from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.transforms import MapTransform, Transform

from transforms.errors import ConfigError, InputError

__all__ = ["ScaleDisplay", "ScaleDisplayd", "ToChannels", "ToChannelsd"]

LUMINANCE = (0.299, 0.587, 0.114)  # ITU-R BT.601, the weights of DICOM's YBR_FULL (PS3.3 C.7.6.3.1.2)


class ScaleDisplay(Transform):
    """A frame (C, H, W) as float32 in [0, 1]: divided by the value that shows as white, clipped.

    Args:
        display_max: the value shown as white, where the frame's metadata has no ``display_max``; None: the highest
            value of an integer dtype, 1 for floats.
    """

    def __init__(self, display_max: float | None = None) -> None:
        self.display_max = display_max

    def __call__(self, img: torch.Tensor) -> torch.Tensor:
        return (img.to(torch.float32) / white_value(img, self.display_max)).clamp(0, 1)


class ToChannels(Transform):
    """A frame (C, H, W) with the wanted number of channels: grey repeated, colour reduced to its luminance.

    Args:
        channels: 1 or 3.

    Raises:
        ConfigError: another number of channels is wanted.
    """

    def __init__(self, channels: int = 3) -> None:
        if channels not in (1, 3):
            raise ConfigError("1 or 3 input channels", found=str(channels), remedy="Set in_channels to 1 or 3.")
        self.channels = channels

    def __call__(self, img: torch.Tensor) -> torch.Tensor:
        """(channels, H, W).

        Raises:
            InputError: the frame is neither grey nor RGB.
        """
        if img.shape[0] == self.channels:
            return img
        if img.shape[0] == 1:
            return img.repeat(self.channels, 1, 1)
        if img.shape[0] == 3:
            weights = torch.tensor(LUMINANCE, dtype=torch.float32, device=img.device).reshape(3, 1, 1)
            return (img.to(torch.float32) * weights).sum(dim=0, keepdim=True)
        raise InputError(
            "a grey or RGB frame", found=f"{img.shape[0]} channels", remedy="Convert the image to grey or RGB."
        )


class ScaleDisplayd(MapTransform):
    """`ScaleDisplay` on the entries of a dictionary."""

    def __init__(
        self, keys: KeysCollection, display_max: float | None = None, *, allow_missing_keys: bool = False
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        self.transform = ScaleDisplay(display_max)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        item = dict(data)
        for key in self.key_iterator(item):
            item[key] = self.transform(item[key])
        return item


class ToChannelsd(MapTransform):
    """`ToChannels` on the entries of a dictionary."""

    def __init__(self, keys: KeysCollection, channels: int = 3, *, allow_missing_keys: bool = False) -> None:
        super().__init__(keys, allow_missing_keys)
        self.transform = ToChannels(channels)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        item = dict(data)
        for key in self.key_iterator(item):
            item[key] = self.transform(item[key])
        return item


def white_value(img: torch.Tensor, default: float | None = None) -> float:
    """What shows as white: the frame's ``display_max``, else ``default``, else the dtype's highest (floats: 1)."""
    stated = img.meta.get("display_max") if isinstance(img, MetaTensor) else None
    if stated is None:
        stated = default
    if stated is None:
        stated = 1.0 if img.dtype.is_floating_point else torch.iinfo(img.dtype).max
    return max(float(stated), torch.finfo(torch.float32).tiny)
