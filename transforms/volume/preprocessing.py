"""The deterministic preprocessing of CT, MR and PET volumes, one definition for training, evaluation and
inference."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from monai.transforms import Compose, Orientationd, Spacingd, SpatialPadd

from pyraseg.transforms.errors import ConfigError
from pyraseg.transforms.io.volumes import LoadVolumed
from pyraseg.transforms.volume.intensity import AIR, VolumeIntensityd

__all__ = ["volume_preprocessing", "volume_view"]

RAS = (("L", "R"), ("P", "A"), ("I", "S"))


def volume_preprocessing(
    *,
    size: Sequence[int],
    spacing_mm: Sequence[float],
    intensity: Mapping[str, Any],
    label: str | None = None,
    label_map: Mapping[Any, int] | None = None,
    num_classes: int | None = None,
) -> Compose:
    """From a path to network input: ``image`` float32 (1, x, y, z), whatever the other options.

    The volume is loaded, turned so that its axes run to the patient's right, front and head as closely as
    whole turns can, resampled to ``spacing_mm`` (trilinear; its directions stay, so oblique series stay
    oblique), padded with air to ``size`` at least, and its intensities are scaled.

    Args:
        size: voxels of the network's windows.
        spacing_mm: of the network's grid.
        intensity: the keyword arguments of `VolumeIntensity`.
        label: "network" (the label goes onto the network's grid by its nearest voxels, for training),
            "source" (it stays on the source grid, where validation and evaluation measure) or None.
        label_map, num_classes: the label set, needed with a label (see `LoadVolumed`).

    Raises:
        ConfigError: an unknown ``label``, a label without ``num_classes``, or a spacing that is none.
    """
    if label not in ("network", "source", None) or (label and num_classes is None):
        found = f"label={label!r}, num_classes={num_classes}"
        raise ConfigError(
            "label to be network, source or None, with num_classes", found=found, remedy="Correct it."
        )
    if len(spacing_mm) != 3 or not all(side > 0 for side in spacing_mm):
        remedy = 'Correct "spacing_mm" in the bundle\'s metadata.json.'
        raise ConfigError("a spacing of three lengths in mm", found=f"{list(spacing_mm)}", remedy=remedy)
    keys = ["image"] if label is None else ["image", "label"]
    moved = keys if label == "network" else ["image"]
    modes = ["bilinear", "nearest"][: len(moved)]
    air = AIR.get(str(intensity.get("unit", "")), 0.0)
    return Compose(
        [
            LoadVolumed(keys, label_map=label_map, num_classes=num_classes),
            Orientationd(moved, axcodes="RAS", labels=RAS),
            Spacingd(moved, pixdim=tuple(spacing_mm), mode=modes, padding_mode="border"),
            *(
                SpatialPadd(key, spatial_size=tuple(size), constant_values=value)
                for key, value in zip(moved, (air, 0), strict=False)
            ),
            VolumeIntensityd("image", **intensity),
        ]
    )


def volume_view(preprocessing: Compose) -> Compose:
    """What shows a volume on its source grid with the intensities of ``preprocessing``, for pictures.

    Returns:
        A dictionary transform: ``image`` a path or `Volume` in, float32 (1, X, Y, Z) in [0, 1] out.
    """
    scale = next(step.transform for step in preprocessing.transforms if isinstance(step, VolumeIntensityd))
    bounds = [scale.low, scale.high]
    way: dict[str, Any] = {"body_z_score": bounds} if scale.standardise else {"window": bounds}
    return Compose([LoadVolumed(["image"]), VolumeIntensityd("image", unit=scale.unit, display=True, **way)])
