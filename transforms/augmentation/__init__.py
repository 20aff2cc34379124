"""Random transforms for ultrasound frames and their label maps, in array and dictionary form."""

from pyraseg.transforms.augmentation.affine import RandFrameAffine, RandFrameAffined
from pyraseg.transforms.augmentation.attenuation import RandDepthAttenuation, RandDepthAttenuationd
from pyraseg.transforms.augmentation.declared import declared_augmentation
from pyraseg.transforms.augmentation.flip import RandHorizontalFlip, RandHorizontalFlipd
from pyraseg.transforms.augmentation.gain import RandGain, RandGaind
from pyraseg.transforms.augmentation.shadow import RandAcousticShadow, RandAcousticShadowd
from pyraseg.transforms.augmentation.speckle import RandSpeckle, RandSpeckled
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
