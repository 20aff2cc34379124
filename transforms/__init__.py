"""Image in, image out: readers and transforms. Trains nothing, writes no file, never imports ``pipeline``.

>>> from pyraseg.transforms import LoadFramed, CropToTissued, ScaleDisplayd, Letterboxd
>>> from monai.transforms import Compose
>>> read = Compose([LoadFramed("image"), CropToTissued("image"), ScaleDisplayd("image")])
>>> prepare = Compose([read, Letterboxd("image", size=(64, 64))])
>>> prepare({"image": f"{cine}#frame_index=0"})["image"].shape
torch.Size([1, 64, 64])
"""

# ruff: noqa: F401 - imports for type checkers; they are exported by name below
from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
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
    from pyraseg.transforms.augmentation.corruption import (
        RepeatPlaind,
        RestorationPaird,
        TissueRegion,
        TissueRegiond,
    )
    from pyraseg.transforms.dicom.calibration import calibrate
    from pyraseg.transforms.dicom.pixels.decode import CineReader
    from pyraseg.transforms.dicom.series.find import find_series, the_series
    from pyraseg.transforms.dicom.series.volume import read_series
    from pyraseg.transforms.frame.display import ScaleDisplay, ScaleDisplayd, ToChannels, ToChannelsd
    from pyraseg.transforms.frame.tissue import (
        BlankOutsideTissue,
        BlankOutsideTissued,
        CropToTissue,
        CropToTissued,
    )
    from pyraseg.transforms.geometry.letterbox import Letterbox, Letterboxd
    from pyraseg.transforms.io.dicom_reader import DicomReader
    from pyraseg.transforms.io.frames import FrameReader, LoadFrame, LoadFramed
    from pyraseg.transforms.io.nifti_volumes import read_nifti_labels, read_nifti_volume
    from pyraseg.transforms.io.reading_options import ReadingOptions
    from pyraseg.transforms.io.volumes import LoadVolume, LoadVolumed
    from pyraseg.transforms.labels.label_values import CheckSameGridd, RemapLabels, RemapLabelsd
    from pyraseg.transforms.labels.soft_labels import SoftLabels, SoftLabelsd
    from pyraseg.transforms.privacy import case_name
    from pyraseg.transforms.volume.intensity import VolumeIntensity, VolumeIntensityd

# Names load when they are used: `pyraseg --help` and every error import this package for its errors, and
# must not wait for MONAI and PyTorch. Type checkers and editors read the imports above.
_MODULES = {
    "augmentation.affine": (
        "RandFrameAffine",
        "RandFrameAffined",
        "RandHorizontalFlip",
        "RandHorizontalFlipd",
    ),
    "augmentation.brightness": (
        "RandAcousticShadow",
        "RandAcousticShadowd",
        "RandDepthAttenuation",
        "RandDepthAttenuationd",
        "RandGain",
        "RandGaind",
        "RandSpeckle",
        "RandSpeckled",
    ),
    "augmentation.corruption": ("RepeatPlaind", "RestorationPaird", "TissueRegion", "TissueRegiond"),
    "dicom.calibration": ("calibrate",),
    "dicom.pixels.decode": ("CineReader",),
    "dicom.series.find": ("find_series", "the_series"),
    "dicom.series.volume": ("read_series",),
    "frame.display": ("ScaleDisplay", "ScaleDisplayd", "ToChannels", "ToChannelsd"),
    "frame.tissue": ("BlankOutsideTissue", "BlankOutsideTissued", "CropToTissue", "CropToTissued"),
    "geometry.letterbox": ("Letterbox", "Letterboxd"),
    "io.dicom_reader": ("DicomReader",),
    "io.frames": ("FrameReader", "LoadFrame", "LoadFramed"),
    "io.nifti_volumes": ("read_nifti_labels", "read_nifti_volume"),
    "io.reading_options": ("ReadingOptions",),
    "io.volumes": ("LoadVolume", "LoadVolumed"),
    "labels.label_values": ("CheckSameGridd", "RemapLabels", "RemapLabelsd"),
    "labels.soft_labels": ("SoftLabels", "SoftLabelsd"),
    "privacy": ("case_name",),
    "volume.intensity": ("VolumeIntensity", "VolumeIntensityd"),
}
_MODULE_OF = {name: module for module, names in _MODULES.items() for name in names}

__all__ = sorted(_MODULE_OF)


def __getattr__(name: str) -> Any:
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULE_OF[name]}"), name)


def __dir__() -> list[str]:
    return [*globals(), *__all__]
