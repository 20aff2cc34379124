"""Distances between the surfaces of two masks: HD95, ASSD and normalised surface Dice, in 2D and 3D."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from monai.metrics.utils import get_surface_distance
from scipy.spatial import cKDTree

from pyraseg.transforms.errors import ConfigError, GeometryError
from pyraseg.transforms.geometry.components import foreground_box

__all__ = ["TOLERANCE", "SurfaceScores", "surface_scores"]

TOLERANCE = {"mm": 2.0, "px": 3.0}  # of surface Dice, where a bundle declares none


@dataclass(frozen=True)
class SurfaceScores:
    """Distances between two surfaces.

    Attributes:
        hd95, assd: 95th percentile of the Hausdorff distance, average symmetric surface distance, in
            ``unit``.
        surface_dice: the share of both surfaces within the tolerance of the other one.
        unit: "mm", or "px" without calibration.
    """

    hd95: float
    assd: float
    surface_dice: float
    unit: str


def surface_scores(
    prediction: np.ndarray,
    reference: np.ndarray,
    *,
    spacing_mm: Sequence[float] | None = None,
    tolerance: Mapping[str, float] | None = None,
) -> SurfaceScores | None:
    """Compare the surfaces of two masks (H, W) or (H, W, D), as MONAI 1.6 defines them.

    A surface is the mask's pixels with a face neighbour outside it, or outside the image. HD95 is the greater
    of the two directions' 95th percentiles (interpolated linearly), not the percentile of both pooled. ASSD
    is the mean of both directions' distances pooled. Surface Dice counts surface pixels, without weights by
    area (``use_subvoxels=False``).

    Args:
        prediction, reference: masks of one shape.
        spacing_mm: one number per axis; None for pixels.
        tolerance: of surface Dice, by unit, such as ``{"mm": 2.0, "px": 3.0}``.

    Returns:
        None if the reference is empty. If only the prediction is, both distances are the image's diagonal and
        surface Dice is 0, so that a missed structure does not improve a mean.

    Raises:
        ConfigError: no tolerance of 0 or more in the unit.
        GeometryError: masks of different shapes, or a spacing for another number of axes.

    >>> reference, prediction = np.zeros((9, 9), bool), np.zeros((9, 9), bool)
    >>> reference[2:6, 2:6] = prediction[3:7, 2:6] = True
    >>> surface_scores(prediction, reference, spacing_mm=(0.5, 0.5)).hd95
    0.5
    """
    prediction, reference = (np.asarray(mask, dtype=bool) for mask in (prediction, reference))
    if prediction.shape != reference.shape:
        found = f"{prediction.shape} and {reference.shape}"
        remedy = "Bring the prediction back to the source grid first."
        raise GeometryError("masks of one shape", found=found, remedy=remedy)
    if spacing_mm is not None and (len(spacing_mm) != reference.ndim or not min(spacing_mm) > 0):
        found = f"{len(spacing_mm)} numbers for {reference.ndim} axes, or one that is not above 0"
        remedy = "Correct the image's calibration."
        raise GeometryError("a spacing in mm for each axis", found=found, remedy=remedy)
    unit = "px" if spacing_mm is None else "mm"
    spacing = np.ones(reference.ndim) if spacing_mm is None else np.asarray(spacing_mm, dtype=float)
    limit = (TOLERANCE if tolerance is None else tolerance).get(unit)
    if limit is None or not 0 <= limit < np.inf:
        remedy = "Declare evaluation::surface_tolerance in the bundle's metadata.json."
        raise ConfigError(f"a surface tolerance in {unit}", found=repr(limit), remedy=remedy)
    if not reference.any():
        return None
    if not prediction.any():
        diagonal = float(np.linalg.norm(spacing * reference.shape))
        return SurfaceScores(hd95=diagonal, assd=diagonal, surface_dice=0.0, unit=unit)
    there, back = _distances(prediction, reference, spacing)
    both = np.concatenate([there, back])
    hd95 = max(float(np.quantile(each, 0.95)) for each in (there, back))
    close = float((both <= np.float32(limit)).mean())
    return SurfaceScores(hd95=hd95, assd=float(both.mean(dtype=float)), surface_dice=close, unit=unit)


def _distances(one: np.ndarray, other: np.ndarray, spacing: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Distances from each surface pixel of one mask to the nearest of the other, and back.

    The bounding box of both masks holds all surfaces. In 3D a false positive far from its tumour makes it as
    large as the body, so there the surfaces' points are searched, without memory for the space between.
    """
    box = foreground_box(one | other) or ()
    edges = [_edge(mask[box]) for mask in (one, other)]
    if one.ndim == 3:
        points = [np.argwhere(edge) * spacing for edge in edges]
        there, back = (cKDTree(b).query(a)[0].astype(np.float32) for a, b in (points, points[::-1]))
    else:
        there, back = (get_surface_distance(a, b, spacing=spacing) for a, b in (edges, edges[::-1]))
    return np.asarray(there), np.asarray(back)


def _edge(mask: np.ndarray) -> np.ndarray:
    """The mask's pixels with a face neighbour outside it."""
    inner = mask.copy()
    for axis in range(mask.ndim):
        inside, shifted = inner.swapaxes(0, axis), mask.swapaxes(0, axis)
        inside[1:] &= shifted[:-1]
        inside[:-1] &= shifted[1:]
        inside[[0, -1]] = False
    return mask & ~inner
