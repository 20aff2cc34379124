"""Label maps of 2D frames as NIfTI, laid out as ITK does."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike

from pipeline.files import atomic_write
from transforms.errors import GeometryError, LabelError, OutputError

__all__ = ["write_label"]

SLICE_THICKNESS = 1.0  # a frame has none; NIfTI wants one
SCANNER_ANAT = 1  # the code that ITK writes, and that viewers ask for before they trust a transform


def write_label(path: str | Path, mask: ArrayLike, *, spacing_mm: tuple[float, float] | None = None) -> Path:
    """Write the label map of one 2D frame as unsigned bytes.

    The file holds (W, H, 1), columns first, with the affine diag(-column spacing, -row spacing, 1) in RAS+: that is
    ITK's identity direction in DICOM's LPS, so 3D Slicer, ITK-SNAP and SimpleITK show the frame upright, as its source.
    Without calibration the spacing is 1, the units are unknown, and the header's description says so.

    Args:
        path: a name ending in .nii.gz or .nii. The same content always gives the same bytes.
        mask: (H, W), integers from 0 to 255.
        spacing_mm: (row spacing, column spacing) in mm per pixel, the order of DICOM's Pixel Spacing (0028,0030).

    Raises:
        GeometryError: the mask is not (H, W), or a spacing is not a positive number.
        LabelError: a value that is no integer from 0 to 255.
        OutputError: another extension, or a file that cannot be written.
    """
    path = Path(path)
    if not path.name.endswith((".nii", ".nii.gz")):
        raise OutputError(
            "a NIfTI file's name", found="another extension", remedy="Let it end in .nii.gz or .nii.", path=path
        )
    content = _to_bytes(_checked(mask), _checked_spacing(spacing_mm))
    with atomic_write(path) as file:
        file.write(gzip.compress(content, mtime=0) if path.suffix == ".gz" else content)
    return path


def _to_bytes(mask: np.ndarray, spacing_mm: tuple[float, float] | None) -> bytes:
    import nibabel

    row_mm, column_mm = spacing_mm or (1.0, 1.0)
    affine = np.diag([-column_mm, -row_mm, SLICE_THICKNESS, 1.0])
    image = nibabel.Nifti1Image(mask.T[:, :, None], affine)
    image.set_sform(affine, code=SCANNER_ANAT)
    image.set_qform(affine, code=SCANNER_ANAT)
    image.header.set_xyzt_units("mm" if spacing_mm else "unknown")
    image.header["descrip"] = (
        b"label map, spacing in mm" if spacing_mm else b"label map, uncalibrated: spacing in pixels"
    )
    return image.to_bytes()


def _checked(mask: ArrayLike) -> np.ndarray:
    source = np.asarray(mask)
    if source.ndim != 2 or not source.size:
        raise GeometryError("a mask (H, W)", found=f"{source.shape}", remedy="Take one frame without its channel.")
    with np.errstate(invalid="ignore"):  # NaN is refused below
        labels = source.astype(np.uint8)
    if not np.array_equal(labels, source):
        remedy = "Take the argmax over the classes first."
        raise LabelError("a mask of integers from 0 to 255", found="other values", remedy=remedy)
    return labels


def _checked_spacing(spacing_mm: tuple[float, float] | None) -> tuple[float, float] | None:
    if spacing_mm is None:
        return None
    row_mm, column_mm = (float(value) for value in spacing_mm)
    if not (0 < row_mm < np.inf and 0 < column_mm < np.inf):
        remedy = "Leave the spacing out for an uncalibrated frame."
        raise GeometryError("a positive row and column spacing in mm", found=f"{spacing_mm}", remedy=remedy)
    return row_mm, column_mm
