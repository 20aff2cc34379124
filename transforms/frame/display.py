"""Display values: a frame as float32 in [0, 1] with the number of channels that a network takes."""

from __future__ import annotations

from monai.data import MetaTensor
from monai.transforms import Transform

from pyraseg.transforms.dictionary import DictionaryTransform
from pyraseg.transforms.errors import ConfigError, InputError
from pyraseg.transforms.io.display_range import CONTRAST, contrast_fault

__all__ = ["ScaleDisplay", "ScaleDisplayd", "ToChannels", "ToChannelsd"]

LUMINANCE = (0.299, 0.587, 0.114)  # ITU-R BT.601, as DICOM's YBR_FULL has it (PS3.3 C.7.6.3.1.2)


class ScaleDisplay(Transform):
    """(C, H, W) of stored values to float32 in [0, 1], where the metadata's ``display_max`` is white.

    The metadata's ``contrast`` says what is wrong with the greys (`contrast_fault`).

    >>> ScaleDisplay()(MetaTensor(torch.full((1, 1, 2), 51), meta={"display_max": 255.0})).tolist()
    [[[0.20000000298023224, 0.20000000298023224]]]
    """

    def __call__(self, image: MetaTensor) -> MetaTensor:
        scaled = (image.as_tensor().float() / float(image.meta["display_max"])).clamp_(0, 1)
        result = MetaTensor(scaled, meta=image.meta, applied_operations=image.applied_operations)
        result.meta["display_max"] = 1.0
        result.meta[CONTRAST] = contrast_fault(scaled)
        return result


class ToChannels(Transform):
    """Repeat a grey frame, or reduce a colour frame to its luminance, so that it has ``channels`` (1 or 3).

    Raises:
        ConfigError: another number of channels is asked for.
        InputError: on calling, a frame with neither 1 nor 3 channels.

    >>> ToChannels(3)(MetaTensor(torch.zeros(1, 4, 5))).shape
    torch.Size([3, 4, 5])
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


class ScaleDisplayd(DictionaryTransform):
    """`ScaleDisplay` on the entries of a dictionary.

    >>> from pyraseg.transforms import LoadFramed
    >>> ScaleDisplayd("image")(LoadFramed("image")({"image": picture}))["image"].dtype
    torch.float32
    """

    form = ScaleDisplay


class ToChannelsd(DictionaryTransform):
    """`ToChannels` on the entries of a dictionary.

    >>> ToChannelsd("image", channels=1)({"image": MetaTensor(torch.zeros(3, 4, 5))})["image"].shape
    torch.Size([1, 4, 5])
    """

    form = ToChannels
