"""The grid of a volume's voxels in the patient."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

__all__ = ["Vector", "VolumeGrid"]

Vector = tuple[float, float, float]
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
