"""Lengths of masks in mm: the largest Feret diameter, the largest inscribed circle, the thickness of a wall."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import ndimage
from scipy.spatial import ConvexHull
from scipy.spatial.distance import pdist

__all__ = ["feret_diameter", "inscribed_diameter", "wall_thickness"]


def feret_diameter(mask: np.ndarray, spacing_mm: Sequence[float]) -> float:
    """The greatest distance in mm between two points on the outline of a mask (H, W) or (H, W, D) that is not empty.

    The outline runs through the middle of the pixels' outer faces, so a row of ten pixels is ten pixels long.
    """
    rim = np.argwhere(mask & ~ndimage.binary_erosion(mask))
    faces = np.concatenate([0.5 * np.eye(mask.ndim), -0.5 * np.eye(mask.ndim)])
    points = (rim[:, None] + faces).reshape(-1, mask.ndim) * np.asarray(spacing_mm)
    return float(pdist(points[ConvexHull(points).vertices]).max())


def inscribed_diameter(mask: np.ndarray, spacing_mm: Sequence[float]) -> float:
    """The diameter in mm of the largest circle, or sphere, in a mask that is not empty, to within a pixel.

    Its centre is a pixel's. Beyond the array's edge is outside.
    """
    return 2 * float(_depth(mask, spacing_mm, inset=0.5)[mask].max())


def wall_thickness(wall: np.ndarray, cavity: np.ndarray, spacing_mm: Sequence[float]) -> np.ndarray:
    """From every pixel of a cavity's contour the distance in mm to the outer contour of the wall around it.

    The outer contour is that of both together with their holes filled, so the cavity's own far side is never taken
    for it. Where the cavity has no wall the thickness is 0.

    Returns:
        (N,), N the pixels of the cavity's contour; empty without a cavity.
    """
    whole = ndimage.binary_fill_holes(np.pad(wall | cavity, 1))
    inner = np.pad(cavity, 1)
    contour = inner & ~ndimage.binary_erosion(inner)
    depth: np.ndarray = _depth(whole, spacing_mm, inset=1.0)[contour]
    return depth


def _depth(mask: np.ndarray, spacing_mm: Sequence[float], *, inset: float) -> np.ndarray:
    """Distance in mm from each pixel to the nearest one outside, less ``inset`` pixels along the way between them.

    The transform measures from centre to centre: half a pixel of it is outside, and half within the pixel itself.
    """
    spacing = np.asarray(spacing_mm, dtype=float)
    distances, nearest = ndimage.distance_transform_edt(np.pad(mask, 1), sampling=spacing, return_indices=True)
    steps = np.linalg.norm(nearest - np.indices(distances.shape), axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        kept = np.where(steps > 0, 1 - inset / steps, 0.0)
    return (distances * kept)[(slice(1, -1),) * mask.ndim]
