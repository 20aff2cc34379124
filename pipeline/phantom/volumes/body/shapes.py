"""Solids in patient coordinates (LPS, mm), evaluated at any points."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from pyraseg.transforms.geometry.grid import Vector, VolumeGrid

__all__ = ["Array", "Capsule", "Ellipsoid", "Points", "Solid", "grid_points", "turn_points"]

Array = NDArray[np.float32]
Points = tuple[Array, Array, Array]  # x, y, z in mm, broadcastable against each other


@dataclass(frozen=True)
class Ellipsoid:
    """An ellipsoid: its centre and semi-axes in mm, turned by ``angles`` (degrees about x, y and z)."""

    centre: Vector
    semi_axes: Vector
    angles: Vector = (0.0, 0.0, 0.0)

    def level(self, points: Points) -> Array:
        """Relative distance from the centre: 1 on the surface, below 1 inside."""
        x, y, z = (p - np.float32(c) for p, c in zip(points, self.centre, strict=True))
        if any(self.angles):
            x, y, z = turn_points((x, y, z), self.angles)
        a, b, c = (np.float32(1 / axis) for axis in self.semi_axes)
        level: Array = np.sqrt((x * a) ** 2 + (y * b) ** 2 + (z * c) ** 2)
        return level

    def moved(self, shift: Sequence[float], factor: float) -> Ellipsoid:
        """Shift by millimetres and scale by a factor."""
        a, b, c = self.semi_axes
        axes = (a * factor, b * factor, c * factor)
        return Ellipsoid(_shifted(self.centre, shift), axes, self.angles)

    def mirrored(self) -> Ellipsoid:
        """Mirror to the other side."""
        (x, y, z), (rx, ry, rz) = self.centre, self.angles
        return Ellipsoid((-x, y, z), self.semi_axes, (rx, -ry, -rz))


@dataclass(frozen=True)
class Capsule:
    """A rod with round ends from ``start`` to ``end``, all in mm."""

    start: Vector
    end: Vector
    radius: float

    def level(self, points: Points) -> Array:
        """Relative distance from the axis: 1 on the surface, below 1 inside."""
        axis = np.subtract(self.end, self.start)
        x, y, z = (p - np.float32(s) for p, s in zip(points, self.start, strict=True))
        dx, dy, dz = (np.float32(v) for v in axis)
        share = np.clip((x * dx + y * dy + z * dz) / np.float32(axis @ axis), 0, 1)
        level: Array = np.sqrt((x - share * dx) ** 2 + (y - share * dy) ** 2 + (z - share * dz) ** 2)
        return level / np.float32(self.radius)

    def moved(self, shift: Sequence[float], factor: float) -> Capsule:
        """Shift by millimetres and scale the radius by a factor."""
        return Capsule(_shifted(self.start, shift), _shifted(self.end, shift), self.radius * factor)

    def mirrored(self) -> Capsule:
        """Mirror to the other side."""
        start, end = ((-x, y, z) for x, y, z in (self.start, self.end))
        return Capsule(start, end, self.radius)


def _shifted(point: Vector, shift: Sequence[float]) -> Vector:
    return point[0] + shift[0], point[1] + shift[1], point[2] + shift[2]


Solid = Ellipsoid | Capsule


def turn_points(points: Points, angles: Vector) -> Points:
    """The points in a frame turned by ``angles`` (degrees about x, y and z)."""
    matrix = Rotation.from_euler("xyz", angles, degrees=True).as_matrix().astype(np.float32)
    x, y, z = points
    turned = [x * matrix[0, axis] + y * matrix[1, axis] + z * matrix[2, axis] for axis in range(3)]
    return turned[0], turned[1], turned[2]


def grid_points(grid: VolumeGrid) -> Points:
    """The voxel centres. A coordinate that is constant along an axis of the grid has length 1 there."""
    x, y, z = (_coordinate(grid, row) for row in grid.affine_lps[:3])
    return x, y, z


def _coordinate(grid: VolumeGrid, row: np.ndarray) -> Array:
    total: Array = np.full((1, 1, 1), row[3], np.float32)
    for axis, step in enumerate(row[:3]):
        if step:
            shape = [-1 if other == axis else 1 for other in range(3)]
            total = total + (np.arange(grid.shape[axis]) * step).astype(np.float32).reshape(shape)
    return total
