"""Lengths of masks in mm: largest Feret diameter, largest inscribed circle, thickness of a wall."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial import ConvexHull, KDTree
from scipy.spatial.distance import pdist

from pyraseg.transforms.geometry.components import foreground_box

__all__ = ["feret_diameter", "feret_ends", "inscribed_diameter", "outermost_points", "wall_thickness"]

COARSE = 16  # half pixels, a power of two: first cells of the search for the largest circle's centre


def feret_diameter(mask: np.ndarray, spacing_mm: Sequence[float]) -> float:
    """The largest distance in mm between two points on the outline of a non-empty mask (H, W[, D]).

    The outline runs through the middle of the pixels' outer faces, so a row of ten pixels is ten pixels long.

    >>> feret_diameter(np.ones((1, 10), bool), (0.5, 0.5))
    5.0
    """
    return float(pdist(feret_ends(mask, spacing_mm) * np.asarray(spacing_mm))[0])


def feret_ends(mask: np.ndarray, spacing_mm: Sequence[float]) -> NDArray[np.float64]:
    """The two points of `feret_diameter`, (2, dimensions) in pixels, whose centres are whole numbers."""
    points = outermost_points(mask)
    corners = points[ConvexHull(points * np.asarray(spacing_mm)).vertices]
    farthest = pdist(corners * np.asarray(spacing_mm)).argmax()
    pair = [index[farthest] for index in np.triu_indices(len(corners), 1)]  # the order of pdist
    result: NDArray[np.float64] = corners[pair]
    return result


def outermost_points(mask: np.ndarray) -> NDArray[np.float64]:
    """The middles of the outer faces of each line's first and last pixel: they span the outline's hull.

    Returns:
        (N, dimensions), in pixels.
    """
    lines = np.argwhere(mask.any(axis=-1))
    inside = mask[tuple(lines.T)]
    ends = inside.argmax(axis=1), mask.shape[-1] - 1 - inside[:, ::-1].argmax(axis=1)
    rim = np.concatenate([np.column_stack([lines, end]) for end in ends])
    faces = np.concatenate([0.5 * np.eye(mask.ndim), -0.5 * np.eye(mask.ndim)])
    points: NDArray[np.float64] = (rim[:, None] + faces).reshape(-1, mask.ndim)
    return points


def inscribed_diameter(mask: np.ndarray, spacing_mm: Sequence[float]) -> float:
    """The diameter in mm of the largest circle, or sphere, in a non-empty mask (H, W) or (H, W, D).

    Beyond the array's edge is outside. Centres lie on half pixels.

    >>> inscribed_diameter(np.ones((20, 6), bool), (0.5, 0.5))
    3.0
    """
    return 2 * _Interior(mask[foreground_box(mask) or ()], spacing_mm).depth()


def wall_thickness(wall: np.ndarray, cavity: np.ndarray, spacing_mm: Sequence[float]) -> np.ndarray:
    """Distances in mm from all points of a cavity's contour to the outer contour of the wall around it.

    The outer contour is that of both masks together with their holes filled, so it excludes the cavity's far
    side. Where the cavity has no wall the thickness is 0.

    Returns:
        (N,), N points half a pixel apart on the cavity's contour; empty without a cavity.

    >>> cavity = np.pad(np.ones((4, 4), bool), 5)
    >>> float(wall_thickness(np.pad(np.ones((10, 10), bool), 2), cavity, (1.0, 1.0)).min())
    3.0
    """
    if not cavity.any():
        return np.zeros(0)
    contour = _points(_on_half_pixels(cavity) == 0.5)
    return _Interior(ndimage.binary_fill_holes(wall | cavity), spacing_mm).distances(contour)


class _Interior:
    """Points half a pixel apart within a mask's outline, and their distance in mm to the nearest outside.

    The nearest point outside always has a neighbour inside, so only such points are searched, and only for
    the requested points: many times faster than a distance transform, with the same values.
    """

    def __init__(self, mask: np.ndarray, spacing_mm: Sequence[float]) -> None:
        self.inside = _on_half_pixels(mask) > 0.5
        self.step_mm = np.asarray(spacing_mm, np.float64) / 2
        self.rim = _points(_rim(self.inside))
        # loose nodes: a quarter of the time for far points with many near equals
        self.tree = KDTree(self.rim * self.step_mm, leafsize=32, compact_nodes=False)

    def distances(self, points: NDArray[np.intp]) -> NDArray[np.float64]:
        """(N,) in mm from points (N, 2) or (N, 3), indices in ``inside`` or beyond it; 0 outside."""
        result = np.zeros(len(points))
        within = np.flatnonzero((points < self.inside.shape).all(axis=1))
        within = within[self.inside[tuple(points[within].T)]]
        if len(within):
            _, nearest = self.tree.query(points[within] * self.step_mm)
            result[within] = np.sqrt((((points[within] - self.rim[nearest]) * self.step_mm) ** 2).sum(axis=1))
        return result

    def depth(self) -> float:
        """The largest distance, by halving the cells that may still hold it.

        A distance changes by no more than the step, so a cell's points exceed its centre by at most its
        radius.
        """
        side, best = COARSE, 0.0
        corners = np.argwhere(np.ones([-(-size // side) for size in self.inside.shape], bool)) * side
        halves = np.argwhere(np.ones((2,) * self.inside.ndim, bool))
        while True:
            distances = self.distances(corners + side // 2)
            best = max(best, float(distances.max()))
            if side == 1:
                return best
            radius = float(np.linalg.norm(side // 2 * self.step_mm)) * (1 + 1e-9)
            side //= 2
            kept = corners[distances + radius >= best]
            corners = (kept[:, None] + halves * side).reshape(-1, self.inside.ndim)


def _points(mask: np.ndarray) -> NDArray[np.intp]:
    """``np.argwhere``, faster where little is True."""
    return np.column_stack(np.unravel_index(np.flatnonzero(mask), mask.shape))


def _rim(inside: np.ndarray) -> np.ndarray:
    """The points outside with a face neighbour inside."""
    near = np.zeros_like(inside)
    for axis in range(inside.ndim):
        here, there = np.moveaxis(near, axis, 0), np.moveaxis(inside, axis, 0)
        here[1:] |= there[:-1]
        here[:-1] |= there[1:]
    return near & ~inside


def _on_half_pixels(mask: np.ndarray) -> NDArray[np.float32]:
    """Pad a mask (H, W) by two and interpolate it to half pixels, (2 H + 7, 2 W + 7), pixels at even indices.

    Its level of one half, the outline, runs through the middles of the pixels' faces and cuts corners, as
    marching squares do. Distances between pixel centres would be half a pixel short at each end.
    """
    values = np.pad(mask, 2).astype(np.float32)
    for axis in range(mask.ndim):
        values = np.moveaxis(values, axis, 0)
        finer = np.empty((2 * len(values) - 1, *values.shape[1:]), np.float32)
        finer[::2], finer[1::2] = values, (values[:-1] + values[1:]) / 2
        values = np.moveaxis(finer, 0, axis)
    return values
