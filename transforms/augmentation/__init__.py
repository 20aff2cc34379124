"""Random transforms for ultrasound frames and their label maps, in array and dictionary form."""

from transforms.augmentation.affine import RandFrameAffine, RandFrameAffined
from transforms.augmentation.attenuation import RandDepthAttenuation, RandDepthAttenuationd
from transforms.augmentation.declared import declared_augmentation
from transforms.augmentation.flip import RandHorizontalFlip, RandHorizontalFlipd
from transforms.augmentation.gain import RandGain, RandGaind
from transforms.augmentation.shadow import RandAcousticShadow, RandAcousticShadowd
from transforms.augmentation.speckle import RandSpeckle, RandSpeckled
from transforms.augmentation.ultrasound import ultrasound_augmentation
from transforms.augmentation.volume import volume_augmentation

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
