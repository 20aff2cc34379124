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
    """The diameter in mm of the largest circle, or sphere, in a mask (H, W) or (H, W, D) that is not empty.

    Beyond the array's edge is outside. The centre is sought at every half pixel.
    """
    return 2 * float(_to_outside(mask, spacing_mm).max())


def wall_thickness(wall: np.ndarray, cavity: np.ndarray, spacing_mm: Sequence[float]) -> np.ndarray:
    """From every point of a cavity's contour the distance in mm to the outer contour of the wall around it.

    The outer contour is that of both together with their holes filled, so the cavity's own far side is never taken
    for it. Where the cavity has no wall the thickness is 0.

    Returns:
        (N,), N points half a pixel apart on the cavity's contour; empty without a cavity.
    """
    whole, inner = np.pad(ndimage.binary_fill_holes(wall | cavity), 1), np.pad(cavity, 1)
    thickness: np.ndarray = _to_outside(whole, spacing_mm)[_between(inner) == 0.5]
    return thickness


def _to_outside(mask: np.ndarray, spacing_mm: Sequence[float]) -> np.ndarray:
    """The distance in mm from every point half a pixel apart to the outline of the mask, 0 outside it."""
    inside = _between(np.pad(mask, 1)) > 0.5
    distances: np.ndarray = ndimage.distance_transform_edt(inside, sampling=np.asarray(spacing_mm) / 2)
    return distances[(slice(2, -2),) * mask.ndim]


def _between(mask: np.ndarray) -> np.ndarray:
    """A mask interpolated linearly to points half a pixel apart: (2 H - 1, 2 W - 1) of (H, W), the pixels at the even
    indices.

    Its level of one half, the outline, runs through the middles of the pixels' faces and cuts stairs off, as marching
    squares do. Distances between pixels' centres would be half a pixel off at each end.
    """
    values = mask.astype(np.float32)
    for axis in range(mask.ndim):
        values = np.moveaxis(values, axis, 0)
        finer = np.empty((2 * len(values) - 1, *values.shape[1:]), np.float32)
        finer[::2], finer[1::2] = values, (values[:-1] + values[1:]) / 2
        values = np.moveaxis(finer, 0, axis)
    return values
