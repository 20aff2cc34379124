"""Ultrasound frames: the tissue region, display values and augmentation."""

from __future__ import annotations

from monai.config import KeysCollection
from monai.transforms import Compose
from monai.utils import ensure_tuple

from transforms.ultrasound.augmentation import (
    RandAcousticShadow,
    RandAcousticShadowd,
    RandDepthAttenuation,
    RandDepthAttenuationd,
    RandGain,
    RandGaind,
    RandSpeckle,
    RandSpeckled,
)
from transforms.ultrasound.display import ScaleDisplay, ScaleDisplayd, ToChannels, ToChannelsd
from transforms.ultrasound.placement import RandPlacement, RandPlacementd
from transforms.ultrasound.region import BlankOutsideTissue, BlankOutsideTissued, CropToTissue, CropToTissued

__all__ = [
    "BlankOutsideTissue",
    "BlankOutsideTissued",
    "CropToTissue",
    "CropToTissued",
    "RandAcousticShadow",
    "RandAcousticShadowd",
    "RandDepthAttenuation",
    "RandDepthAttenuationd",
    "RandGain",
    "RandGaind",
    "RandPlacement",
    "RandPlacementd",
    "RandSpeckle",
    "RandSpeckled",
    "ScaleDisplay",
    "ScaleDisplayd",
    "ToChannels",
    "ToChannelsd",
    "ultrasound_augmentation",
]


def ultrasound_augmentation(
    keys: KeysCollection = ("image", "label"), *, probability: float = 0.5, mirror: bool = True
) -> Compose:
    """The augmentation for training: gain, depth attenuation, speckle, shadow, then a small similarity and mirroring.

    Args:
        keys: the image (C, H, W), float in [0, 1]; then, if any, label maps (1, H, W), which are only moved.
        probability: of each step; 0 switches all of them off.
        mirror: left and right may be exchanged (never top and bottom).
    """
    image, *labels = ensure_tuple(keys)
    return Compose(
        [
            RandGaind(image, probability),
            RandDepthAttenuationd(image, probability),
            RandSpeckled(image, probability),
            RandAcousticShadowd(image, probability),
            RandPlacementd(
                (image, *labels),
                probability,
                mode=("bilinear", *["nearest"] * len(labels)),
                mirror_prob=min(probability, 0.5) if mirror else 0.0,
            ),
        ]
    )
