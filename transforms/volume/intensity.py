"""From HU, SUV or MR intensities to the input of a network, as a bundle declares it."""

from __future__ import annotations

import math

import torch
from monai.data import MetaTensor
from monai.transforms import Transform

from pyraseg.transforms.dictionary import DictionaryTransform
from pyraseg.transforms.errors import ConfigError, InputError
from pyraseg.transforms.io.display_range import CONTRAST, contrast_fault
from pyraseg.transforms.io.limits import are_finite

__all__ = ["VolumeIntensity", "VolumeIntensityd"]

BODY = 0.1  # of the bright voxels' 99th percentile: above it is body, not air
SAMPLES = 1_000_000  # voxels used for a percentile


class VolumeIntensity(Transform):
    """Scale a volume (1, X, Y, Z) as its bundle declares it; float32.

    Args:
        unit: "HU", "g/ml{SUVbw}", or "" for MR. A volume whose metadata state another unit is refused; NIfTI
            states none and is accepted.
        window: for HU and SUV, the [lowest, highest] value, which become 0 and 1; others are clipped.
        body_z_score: for MR, the [lowest, highest] standard score; others are clipped. Mean and standard
            deviation are those of the body: the voxels above a tenth of the 99th percentile of those that
            are brighter than the mean of all but zeros. So air and padding change neither.
        display: always scale to [0, 1], for pictures.

    The metadata's ``contrast`` says what is wrong with the values: "constant" or, mostly white, "clipped".

    Raises:
        ConfigError: neither or both of ``window`` and ``body_z_score``, or bounds that do not ascend.
        InputError: on calling, another unit, NaN or infinite values, or a volume without contrast.

    >>> VolumeIntensity(unit="HU", window=(-100, 300))(torch.full((1, 2, 2, 2), 100)).unique()
    tensor([0.5000])
    """

    def __init__(
        self,
        *,
        unit: str,
        window: tuple[float, float] | None = None,
        body_z_score: tuple[float, float] | None = None,
        display: bool = False,
    ) -> None:
        bounds = window if window is not None else body_z_score
        if bounds is None or (window is not None and body_z_score is not None):
            found, remedy = "none" if bounds is None else "both", "Correct the bundle's intensity."
            raise ConfigError("one of window and body_z_score", found=found, remedy=remedy)
        if len(bounds) != 2 or not bounds[0] < bounds[1]:
            remedy = "Give the lowest value first, then the highest."
            raise ConfigError("bounds of two ascending numbers", found=f"{list(bounds)}", remedy=remedy)
        self.unit = unit
        self.window = None if window is None else [float(value) for value in window]
        self.body_z_score = None if body_z_score is None else [float(value) for value in body_z_score]
        self._bounds = float(bounds[0]), float(bounds[1])
        self.display = display

    def __call__(self, image: torch.Tensor) -> torch.Tensor:
        """(1, X, Y, Z) of any number type to float32 of the same shape and metadata."""
        meta = getattr(image, "meta", {})
        case, unit = str(meta.get("case", "without a name")), str(meta.get("unit", self.unit))
        if unit != self.unit:
            wanted = f"a volume in {self.unit}" if self.unit else "an MR volume without a unit of its own"
            remedy = "Give this bundle the modality that it was made for."
            raise InputError(wanted, found=f"{unit or 'no unit'} in case {case}", remedy=remedy)
        values = (image.as_tensor() if isinstance(image, MetaTensor) else image).float()
        if not are_finite(values):
            remedy = "Replace them by the value of what is not there, such as air, or leave it out."
            raise InputError("a volume of finite values", found=f"others in case {case}", remedy=remedy)
        if self.body_z_score is not None:
            mean, deviation = _body(values, case)
            values = (values - mean).div_(deviation)
        low, high = self._bounds
        values = values.clamp(low, high)
        if self.display or self.body_z_score is None:
            values.sub_(low).div_(high - low)  # a CT takes half a gigabyte
        if not isinstance(image, MetaTensor):
            return values
        scaled = MetaTensor(values, meta=image.meta, applied_operations=image.applied_operations)
        fault = contrast_fault(values, 1.0 if self.display or self.body_z_score is None else high)
        scaled.meta[CONTRAST] = "" if fault == "nearly black" else fault  # a PET without uptake is dark
        return scaled


def _body(values: torch.Tensor, case: str) -> tuple[float, float]:
    """Mean and standard deviation of the body's voxels; zeros, such as padding, are not looked at."""
    lit = values[values > 0]
    some = lit[:: max(1, len(lit) // SAMPLES)]
    above = some[some >= some.mean()]
    inside = lit[lit > BODY * torch.quantile(above, 0.99)] if len(above) else above
    if not len(inside) or not 0 < float(inside.std()) < math.inf:
        remedy = "Check that the file holds an image, or leave it out."
        raise InputError("a volume with contrast", found=f"none in case {case}", remedy=remedy)
    return float(inside.mean()), float(inside.std())


class VolumeIntensityd(DictionaryTransform):
    """`VolumeIntensity` on the entries of a dictionary.

    >>> scale = VolumeIntensityd("image", unit="HU", window=[-100, 300])
    >>> scale({"image": torch.full((1, 2, 2, 2), 100)})["image"].unique()
    tensor([0.5000])
    """

    form = VolumeIntensity
