"""The grid of a volume's voxels in the patient."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

__all__ = ["Turn", "Vector", "VolumeGrid", "find_turns", "turned", "turned_affine"]

Vector = tuple[float, float, float]
Turn = tuple[
    int, int
]  # of an array, the axis that an axis of a grid runs along, and 1 or -1 for its direction
LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])


@dataclass(frozen=True)
class VolumeGrid:
    """The grid of a volume's voxels in DICOM's patient coordinates (LPS, mm, voxel centres).

    PS3.3 C.7.6.2.1.1. Arrays on it have the index order (x, y, z) = (column, row, slice) of MONAI and NIfTI.
    Only `affine` converts LPS to RAS.

    Attributes:
        shape: (columns, rows, slices).
        origin: LPS mm of the centre of voxel (0, 0, 0).
        row_direction: unit vector along increasing column index, Image Orientation (Patient) 1 to 3.
        column_direction: unit vector along increasing row index, the same 4 to 6.
        slice_direction: unit vector from slice to slice: the normal, row x column.
        spacing: mm between columns, between rows, between slices.
    """

    shape: tuple[int, int, int]
    origin: Vector
    row_direction: Vector
    column_direction: Vector
    slice_direction: Vector
    spacing: Vector

    @property
    def affine_lps(self) -> np.ndarray:
        """(4, 4), from index (x, y, z) to LPS mm."""
        affine = np.eye(4)
        affine[:3, :3] = (
            np.array([self.row_direction, self.column_direction, self.slice_direction]).T * self.spacing
        )
        affine[:3, 3] = self.origin
        return affine

    @property
    def affine(self) -> np.ndarray:
        """(4, 4), from index (x, y, z) to RAS+ mm."""
        return LPS_TO_RAS @ self.affine_lps

    @property
    def voxel_ml(self) -> float:
        """The volume of a voxel in ml."""
        return float(np.prod(self.spacing)) / 1000

    def turned(self, turns: Sequence[Turn]) -> VolumeGrid:
        """The same voxels by other axes, in the order and directions of `find_turns`."""
        axes = self.row_direction, self.column_direction, self.slice_direction
        row, column, step = (
            (sign * axes[axis][0], sign * axes[axis][1], sign * axes[axis][2]) for axis, sign in turns
        )
        x, y, z = map(float, turned_affine(self.affine_lps, turns, self.shape)[:3, 3])
        (i, _), (j, _), (k, _) = turns
        shape = self.shape[i], self.shape[j], self.shape[k]
        spacing = self.spacing[i], self.spacing[j], self.spacing[k]
        return VolumeGrid(shape, (x, y, z), row, column, step, spacing)


def find_turns(axes: np.ndarray) -> list[Turn] | None:
    """The turns of an array onto the axes of a grid that run along its own, forth or back.

    Args:
        axes: (3, 3), in its columns the steps along the grid's axes, in steps along the array's.

    Returns:
        For each axis of the grid the array's; None where they run between those or by other steps.

    >>> find_turns(np.array([[0, 0, 1], [-1, 0, 0], [0, 1, 0]]))
    [(1, -1), (2, 1), (0, 1)]
    """
    steps = np.rint(axes)
    order = [int(axis) for axis in np.abs(steps).argmax(axis=0)]
    if sorted(order) != [0, 1, 2] or np.abs(steps).sum() != 3:
        return None
    return [(axis, int(steps[axis, index])) for index, axis in enumerate(order)]


def turned(array: np.ndarray, turns: Sequence[Turn]) -> np.ndarray:
    """A view of an array (X, Y, Z) by the axes of a grid.

    >>> turned(np.zeros((2, 3, 4)), [(1, -1), (2, 1), (0, 1)]).shape
    (3, 4, 2)
    """
    flips = tuple(slice(None, None, sign) for _, sign in turns)
    return array.transpose([axis for axis, _ in turns])[flips]


def turned_affine(affine: np.ndarray, turns: Sequence[Turn], shape: Sequence[int]) -> np.ndarray:
    """(4, 4), the affine of `turned` from that of the array of this shape.

    >>> turned_affine(np.eye(4), [(1, -1), (2, 1), (0, 1)], (2, 3, 4))[:3, 3]
    array([0., 2., 0.])
    """
    moves = np.eye(4)
    moves[:3, :3] = 0
    for index, (axis, sign) in enumerate(turns):
        moves[axis, index] = sign
        moves[axis, 3] = 0 if sign > 0 else shape[axis] - 1
    return affine @ moves
