"""The ultrasound augmentation that bundle configs name."""

from __future__ import annotations

from collections.abc import Sequence

from monai.transforms import Compose

from pyraseg.transforms.augmentation.affine import RandFrameAffined, RandHorizontalFlipd
from pyraseg.transforms.augmentation.brightness import (
    RandAcousticShadowd,
    RandDepthAttenuationd,
    RandGaind,
    RandSpeckled,
)
from pyraseg.transforms.errors import ConfigError

__all__ = ["ultrasound_augmentation"]


def ultrasound_augmentation(
    keys: Sequence[str] = ("image", "label"), *, probability: float = 0.5, soft_keys: Sequence[str] = ()
) -> Compose:
    """Random changes that one scanner, setting or hand makes against another, for preprocessed frames and
    their labels.

    The image is (C, H, W), float32 in [0, 1], depth down the rows; the label map (1, H, W) of whole numbers,
    0 the background. Plain tensors stay plain.

    Args:
        keys: the image, then label maps on its grid, if any.
        probability: that of each step; 0 leaves the item as it is.
        soft_keys: soft labels (K, H, W) on that grid, floating point or bytes. They are interpolated with the
            image and keep their sum between known pixels; where it is less (at the border, at the bars) a
            loss divides by it.

    Raises:
        ConfigError: no key, or a probability outside [0, 1].
    """
    if isinstance(keys, str) or not keys:
        raise ConfigError(
            "a list of keys, the image first", found=repr(keys), remedy='Give for example ["image", "label"].'
        )
    image, moved = keys[0], [*keys, *soft_keys]
    modes = ["bilinear", *["nearest"] * (len(keys) - 1), *["soft"] * len(soft_keys)]
    # Brightness first: the bars are found by their lines of grey, which a rotation tilts.
    return Compose(
        [
            RandSpeckled(image, probability),
            RandAcousticShadowd(image, probability),
            RandDepthAttenuationd(image, probability),
            RandGaind(image, probability),
            RandHorizontalFlipd(moved, probability),
            RandFrameAffined(moved, probability, mode=modes),
        ]
    )
