"""Random transforms for ultrasound frames and their label maps, in array and dictionary form."""

from pyraseg.transforms.augmentation.affine import (
    RandFrameAffine,
    RandFrameAffined,
    RandHorizontalFlip,
    RandHorizontalFlipd,
)
from pyraseg.transforms.augmentation.brightness import (
    RandAcousticShadow,
    RandAcousticShadowd,
    RandDepthAttenuation,
    RandDepthAttenuationd,
    RandGain,
    RandGaind,
    RandSpeckle,
    RandSpeckled,
)
from pyraseg.transforms.augmentation.declared import declared_augmentation
from pyraseg.transforms.augmentation.ultrasound import ultrasound_augmentation
from pyraseg.transforms.augmentation.volume import volume_augmentation

__all__ = [
    "RandAcousticShadow",
    "RandAcousticShadowd",
    "RandDepthAttenuation",
    "RandDepthAttenuationd",
    "RandFrameAffine",
    "RandFrameAffined",
    "RandGain",
    "RandGaind",
    "RandHorizontalFlip",
    "RandHorizontalFlipd",
    "RandSpeckle",
    "RandSpeckled",
    "declared_augmentation",
    "ultrasound_augmentation",
    "volume_augmentation",
]
