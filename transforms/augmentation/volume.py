"""The augmentation of CT, MR and PET volumes: random windows around structures, moved and shaded a little."""

from __future__ import annotations

from collections.abc import Sequence

from monai.transforms import (
    Compose,
    RandAdjustContrastd,
    RandAffined,
    RandCropByPosNegLabeld,
    RandFlipd,
    RandGaussianNoised,
    RandGaussianSmoothd,
    RandScaleIntensityd,
)

from pyraseg.transforms.errors import ConfigError

__all__ = ["volume_augmentation"]

ROTATION = 0.26  # radians, 15 degrees
SCALE = 0.15
SHIFT = 0.15  # of the window's sides
NOISE = 0.01  # of the network's input, whose range is about 1


def volume_augmentation(
    keys: Sequence[str] = ("image", "label"),
    *,
    size: Sequence[int],
    patches: int = 2,
    probability: float = 0.5,
    soft_keys: Sequence[str] = (),
) -> Compose:
    """Windows of a preprocessed volume, half of them centred on a structure, with random changes.

    The image is (1, x, y, z) float32, the label map (1, x, y, z) of class indices. One item becomes
    ``patches`` items, which MONAI's ``list_data_collate`` joins into the batch.

    Args:
        keys: the image and its label map.
        size: voxels of a window.
        patches: windows of one volume.
        probability: that of each step; 0 leaves the windows as they are cut.
        soft_keys: soft labels (K, x, y, z) on the same grid; they are interpolated with the image.

    Raises:
        ConfigError: other keys, no window, or a probability outside [0, 1].
    """
    if isinstance(keys, str) or len(keys) != 2:
        raise ConfigError(
            "an image and a label key", found=repr(keys), remedy='Give for example ["image", "label"].'
        )
    if patches < 1 or not 0 <= probability <= 1:
        found = f"{patches} windows, a probability of {probability}"
        raise ConfigError(
            "a window or more, and a probability from 0 to 1", found=found, remedy="Correct them."
        )
    image, label = keys
    moved = [image, label, *soft_keys]
    modes = ["bilinear", "nearest", *["bilinear"] * len(soft_keys)]
    return Compose(
        [
            RandCropByPosNegLabeld(moved, label_key=label, spatial_size=tuple(size), num_samples=patches),
            RandAffined(
                moved,
                prob=probability,
                rotate_range=(ROTATION,) * 3,
                scale_range=(SCALE,) * 3,
                translate_range=tuple(SHIFT * side for side in size),
                mode=modes,
                padding_mode="border",
            ),
            *(RandFlipd(moved, prob=probability, spatial_axis=axis) for axis in range(3)),
            RandGaussianSmoothd(
                image, prob=probability / 2, sigma_x=(0.25, 1), sigma_y=(0.25, 1), sigma_z=(0.25, 1)
            ),
            RandScaleIntensityd(image, factors=0.15, prob=probability),
            RandAdjustContrastd(image, prob=probability / 2, gamma=(0.7, 1.5)),
            RandGaussianNoised(image, prob=probability, std=NOISE),
        ]
    )
