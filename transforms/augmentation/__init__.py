"""Random changes of frames and volumes, and of their label maps."""

from pyraseg.transforms.augmentation.declared import declared_augmentation
from pyraseg.transforms.augmentation.ultrasound import ultrasound_augmentation
from pyraseg.transforms.augmentation.volume import volume_augmentation

__all__ = ["declared_augmentation", "ultrasound_augmentation", "volume_augmentation"]
