"""Small volumes for tests."""

from __future__ import annotations

from pathlib import Path

import nibabel
import numpy as np

OBLIQUE = np.array([[0.96, -0.28, 0.0, -31.0], [0.28, 0.96, 0.0, 12.0], [0.0, 0.0, 1.0, 5.0], [0, 0, 0, 1]])


def write_nifti(path: Path, array: np.ndarray, affine: np.ndarray) -> Path:
    """NIfTI with sform and qform set."""
    image = nibabel.Nifti1Image(array, affine)
    image.set_qform(affine, 1)
    image.set_sform(affine, 1)
    nibabel.save(image, path)
    return path
