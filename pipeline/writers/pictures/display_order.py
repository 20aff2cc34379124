"""The order in which pictures of volumes show the patient, whatever the order of the stored axes."""

from __future__ import annotations

import numpy as np

__all__ = ["display_spacing", "to_display"]

AXES = ("L", "P", "S")  # x to the patient's left, y to the back, z to the head


def to_display(array: np.ndarray, affine: np.ndarray) -> np.ndarray:
    """A volume (X, Y, Z) with its axes swapped and turned as radiologists look at it; nothing is resampled or
    copied.

    The new x runs to the patient's left, y to the back and z to the head, as far as the stored axes do. So
    ``out[:, :, k].T`` is an axial picture with the front above and the patient's left on the right, and k
    counts from the feet. An oblique volume is shown along the axes that are nearest.

    Args:
        affine: (4, 4), from index to RAS+ mm.
    """
    from nibabel.orientations import apply_orientation

    return np.asarray(apply_orientation(array, _orientation(affine)))


def display_spacing(affine: np.ndarray) -> tuple[float, float, float]:
    """The distances in mm between voxels along the axes of ``to_display``."""
    stored = np.linalg.norm(np.asarray(affine, np.float64)[:3, :3], axis=0)
    shown = [0.0, 0.0, 0.0]
    for spacing, axis in zip(stored, _orientation(affine)[:, 0], strict=True):
        shown[int(axis)] = float(spacing)
    return shown[0], shown[1], shown[2]


def _orientation(affine: np.ndarray) -> np.ndarray:
    """(3, 2), nibabel's: the new axis and the direction of each stored one."""
    from nibabel.orientations import axcodes2ornt, io_orientation, ornt_transform

    return np.asarray(ornt_transform(io_orientation(np.asarray(affine, np.float64)), axcodes2ornt(AXES)))
