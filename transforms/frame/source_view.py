"""Transforms back to the source grid: of predictions, and of the images in pictures."""

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
    """The transform from a path to the picture of a frame or volume on its source grid.

    Frames are cropped and blanked as by ``preprocessing``.

    Returns:
        A dictionary transform. ``image``: from a path to float32 (C, H, W) in [0, 1], black outside the
        tissue; for volumes from a path or `Volume` to (1, X, Y, Z), scaled by the network's window.
    """
    if any(isinstance(step, LoadVolumed) for step in preprocessing.transforms):
        return _volume_view(preprocessing)
    kinds = {type(step) for step in preprocessing.transforms}
    loads = [step.load_image.reader for step in preprocessing.transforms if isinstance(step, LoadFramed)]
    reading = loads[0].reading if loads else None
    steps: list[Any] = [LoadFramed("image", reading=reading)]
    steps += [kind("image") for kind in (CropToTissued, BlankOutsideTissued) if kind in kinds]
    view = Compose([*steps, ScaleDisplayd("image")])
    return Compose([view, restoration(view, keys="image")])


def restoration(preprocessing: Compose, *, keys: str) -> Invertd:
    """The transform of an entry from the network's grid back to the source grid of its item's ``image``.

    Class probabilities (K, h, w) are resampled to (K, H, W); outside a crop all are 0, so argmax gives
    background.
    """
    return Invertd(
        keys=keys, transform=preprocessing, orig_keys="image", nearest_interp=False, to_tensor=True
    )


def _volume_view(preprocessing: Compose) -> Compose:
    """The volume on its source grid with the intensities of ``preprocessing``, in [0, 1]."""
    scale = next(step.transform for step in preprocessing.transforms if isinstance(step, VolumeIntensityd))
    way: dict[str, Any] = {"window": scale.window, "body_z_score": scale.body_z_score}
    load = next(step.load for step in preprocessing.transforms if isinstance(step, LoadVolumed))
    read = LoadVolumed(["image"], reading=load.reading)
    return Compose([read, VolumeIntensityd("image", unit=scale.unit, display=True, **way)])
