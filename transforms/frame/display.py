"""Display values: a frame as float32 in [0, 1] with the number of channels that a network takes."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.transforms import MapTransform, Transform

from pyraseg.transforms.errors import ConfigError, InputError

__all__ = ["ScaleDisplay", "ScaleDisplayd", "ToChannels", "ToChannelsd"]

LUMINANCE = (0.299, 0.587, 0.114)  # ITU-R BT.601, as DICOM's YBR_FULL has it (PS3.3 C.7.6.3.1.2)


class ScaleDisplay(Transform):
    """(C, H, W) of stored values to float32 in [0, 1], by the metadata's ``display_max``, the value shown as
    white."""

    def __call__(self, image: MetaTensor) -> MetaTensor:
        scaled = (image.as_tensor().float() / float(image.meta["display_max"])).clamp_(0, 1)
        result = MetaTensor(scaled, meta=image.meta, applied_operations=image.applied_operations)
        result.meta["display_max"] = 1.0
        return result


class ToChannels(Transform):
    """Repeat a grey frame, or weigh a colour frame to its luminance, so that it has ``channels`` (1 or 3).

    Raises:
        ConfigError: another number of channels is asked for.
        InputError: on calling, a frame with neither 1 nor 3 channels.
    """

    def __init__(self, channels: int) -> None:
        if channels not in (1, 3):
            raise ConfigError("1 or 3 input channels", found=str(channels), remedy="Correct in_channels.")
        self.channels = channels

    def __call__(self, image: MetaTensor) -> MetaTensor:
        plain = image.as_tensor()
        if plain.shape[0] not in (1, 3):
            remedy = "Convert it to grey or RGB."
            raise InputError("a frame with 1 or 3 channels", found=f"{plain.shape[0]}", remedy=remedy)
        if plain.shape[0] == self.channels:
            return image
        if self.channels == 3:
            plain = plain.expand(3, -1, -1).contiguous()
        else:
            plain = (plain * plain.new_tensor(LUMINANCE)[:, None, None]).sum(0, keepdim=True)
        return MetaTensor(plain, meta=image.meta, applied_operations=image.applied_operations)


class _Mapped(MapTransform):
    transform: Transform

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        item = dict(data)
        for key in self.key_iterator(item):
            item[key] = self.transform(item[key])
        return item


class ScaleDisplayd(_Mapped):
    """`ScaleDisplay` on the entries of a dictionary."""

    def __init__(self, keys: KeysCollection, allow_missing_keys: bool = False) -> None:
        super().__init__(keys, allow_missing_keys)
        self.transform = ScaleDisplay()


class ToChannelsd(_Mapped):
    """`ToChannels` on the entries of a dictionary."""

    def __init__(self, keys: KeysCollection, channels: int, allow_missing_keys: bool = False) -> None:
        super().__init__(keys, allow_missing_keys)
        self.transform = ToChannels(channels)
