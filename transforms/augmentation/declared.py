"""The augmentation for the kind of image that a bundle declares."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from monai.transforms import Compose

from pyraseg.transforms.augmentation.ultrasound import ultrasound_augmentation
from pyraseg.transforms.augmentation.volume import volume_augmentation
from pyraseg.transforms.errors import ConfigError

__all__ = ["declared_augmentation"]


def declared_augmentation(
    declared: Mapping[str, Any],
    keys: Sequence[str] = ("image", "label"),
    *,
    size: Sequence[int],
    patches: int = 2,
    probability: float = 0.5,
    soft_keys: Sequence[str] = (),
) -> Compose:
    """Augmentation for what "preprocessing" in a bundle's metadata.json declares.

    Args:
        declared: with ``kind``: "frame" (`ultrasound_augmentation`) or "volume" (`volume_augmentation`, which
            alone takes ``size`` and ``patches``).

    Raises:
        ConfigError: another kind, or as these.
    """
    if declared.get("kind") == "frame":
        return ultrasound_augmentation(keys, probability=probability, soft_keys=soft_keys)
    if declared.get("kind") == "volume":
        return volume_augmentation(
            keys, size=size, patches=patches, probability=probability, soft_keys=soft_keys
        )
    remedy = 'Correct "kind" in the bundle\'s metadata.json.'
    raise ConfigError("images of the kind frame or volume", found=f"{declared.get('kind')!r}", remedy=remedy)
