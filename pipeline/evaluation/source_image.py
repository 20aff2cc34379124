"""The values of a volume on its source grid, in their unit: what Hounsfield units and SUV are measured on."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from pyraseg.pipeline.measurement.declared import declared_measures
from pyraseg.pipeline.measurement.volume import VOLUME_MEASURES, as_ucum
from pyraseg.transforms.dicom.series.volume import Volume
from pyraseg.transforms.io.volumes import LoadVolume

__all__ = ["image_units", "source_values"]


def image_units(declared: Iterable[Mapping[str, Any]]) -> set[str]:
    """The UCUM units of the image that quantities of volumes are measured on; those of the label map alone
    need none.

    Raises:
        ConfigError: a declaration with an unknown measure.
    """
    return {how.image_unit for _, how in declared_measures(declared, VOLUME_MEASURES)} - {""}


def source_values(place: str | Path | Volume, *, case: str, unit: str = "") -> tuple[np.ndarray, str]:
    """Read an image once more: preprocessing has brought the item's own onto the network's grid and scaled
    it.

    Args:
        place: a NIfTI file, a series' folder, a multi-frame file, or a `Volume` that was read.
        case: its name in errors.
        unit: of an image that states none, as NIfTI.

    Returns:
        The values (X, Y, Z) and their UCUM unit.

    Raises:
        PyrasegError: it cannot be read.
    """
    image = LoadVolume()(place, case)
    return image.as_tensor().numpy()[0], as_ucum(str(image.meta.get("unit", unit)))
