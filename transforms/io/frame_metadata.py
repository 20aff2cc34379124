"""The metadata of one 2D frame, the same for every kind of file, in types that PyTorch can collate."""

from __future__ import annotations

from typing import Any

import numpy as np
from monai.utils import MetaKeys, SpaceKeys

__all__ = ["frame_metadata"]


def frame_metadata(
    shape: tuple[int, ...],
    *,
    spacing_mm: tuple[float, float] | None,
    spacing_source: str,
    display_max: float,
    **more: Any,
) -> dict[str, Any]:
    """Metadata of an array of ``shape`` (C, H, W).

    The affine is diag(row spacing, column spacing, 1, 1) in mm with its origin at 0, the identity where the
    image is not calibrated; ``spacing_mm`` is then absent. ``more`` entries that are None are absent as well.
    """
    row, column = spacing_mm or (1.0, 1.0)
    affine = np.diag([row, column, 1.0, 1.0]).astype(np.float64)
    metadata: dict[str, Any] = {
        str(MetaKeys.AFFINE): affine,
        str(MetaKeys.ORIGINAL_AFFINE): affine.copy(),
        str(MetaKeys.SPATIAL_SHAPE): np.asarray(shape[1:], dtype=np.int64),
        str(MetaKeys.SPACE): str(SpaceKeys.RAS),
        str(MetaKeys.ORIGINAL_CHANNEL_DIM): 0,
        "spacing_source": spacing_source,
        "display_max": display_max,
    }
    if spacing_mm:
        metadata["spacing_mm"] = [float(row), float(column)]
    return metadata | {key: value for key, value in more.items() if value is not None}
