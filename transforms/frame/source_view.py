"""Back to the grid of the source: of predictions, and of the images that pictures show."""

from __future__ import annotations

from typing import Any

from monai.transforms import Compose, Invertd

from pyraseg.transforms.frame.display import ScaleDisplayd
from pyraseg.transforms.frame.tissue import BlankOutsideTissued, CropToTissued
from pyraseg.transforms.io.frames import LoadFramed
from pyraseg.transforms.io.volumes import LoadVolumed
from pyraseg.transforms.volume.intensity import VolumeIntensityd

__all__ = ["restoration", "source_view"]


def source_view(preprocessing: Compose) -> Compose:
    """What shows a frame at its own resolution, cropped and blanked as ``preprocessing`` does it, for
    pictures.

    Returns:
        A dictionary transform: ``image`` a path in, float32 (C, H, W) in [0, 1] on the source grid out, black
        outside the tissue. Of a volume, a path or `Volume` in, (1, X, Y, Z) by the window that the network
        sees out.
    """
    if any(isinstance(step, LoadVolumed) for step in preprocessing.transforms):
        return _volume_view(preprocessing)
    kinds = {type(step) for step in preprocessing.transforms}
    steps: list[Any] = [LoadFramed("image")]
    steps += [kind("image") for kind in (CropToTissued, BlankOutsideTissued) if kind in kinds]
    view = Compose([*steps, ScaleDisplayd("image")])
    return Compose([view, restoration(view, keys="image")])


def restoration(preprocessing: Compose, *, keys: str) -> Invertd:
    """What brings an entry on the network's grid back to the source grid of its item's ``image``.

    Class probabilities (K, h, w) are resampled to (K, H, W); outside a crop all of them are 0, where argmax
    gives background.
    """
    return Invertd(
        keys=keys, transform=preprocessing, orig_keys="image", nearest_interp=False, to_tensor=True
    )


def _volume_view(preprocessing: Compose) -> Compose:
    """The volume on its source grid with the intensities of ``preprocessing``, in [0, 1]."""
    scale = next(step.transform for step in preprocessing.transforms if isinstance(step, VolumeIntensityd))
    bounds = [scale.low, scale.high]
    way: dict[str, Any] = {"body_z_score": bounds} if scale.standardise else {"window": bounds}
    return Compose([LoadVolumed(["image"]), VolumeIntensityd("image", unit=scale.unit, display=True, **way)])
