"""NIfTI volumes as arrays with the affine of their voxels; what is ambiguous is refused with the reason."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pyraseg.transforms.errors import GeometryError, InputError, LabelError
from pyraseg.transforms.io.limits import WHERE_MM, check_volume, spacing_fault
from pyraseg.transforms.io.nifti_files import nifti_data, open_nifti

if TYPE_CHECKING:
    from nibabel import Nifti1Image

__all__ = ["NiftiVolume", "check_nifti_volume", "read_nifti_labels", "read_nifti_volume"]

MILLIMETRES = {1: 1000.0, 3: 0.001}  # for metres and micrometres; other codes count as mm
SAME_POSITION = 0.002  # of the diagonal: quaternions of float32 turn a volume by up to 0.0013 of it
SHEAR = 1e-3  # cosine between two axes
WHERE = "an affine that says where the voxels lie"
SET_AFFINE = "Write the volume again from its source with the sform or qform set."


@dataclass(frozen=True, eq=False)
class NiftiVolume:
    """A volume read from NIfTI: (X, Y, Z) float32, and the affine from its indices to RAS+ mm."""

    array: np.ndarray
    affine: np.ndarray
    unit: str = ""  # NIfTI states none


def read_nifti_volume(path: str | Path) -> tuple[np.ndarray, np.ndarray]:
    """The values of a NIfTI volume, (X, Y, Z) float32, and its affine, (4, 4) from index to RAS+ mm.

    The affine is the sform, else the qform (like in nibabel), converted to mm from the header's unit of
    length. Further axes of length 1 are dropped.

    Raises:
        InputError: no readable NIfTI file, not three axes, colours, complex numbers, a non-finite value.
        GeometryError: sform and qform are unset or disagree, or are singular, sheared or not finite.

    >>> values, affine = read_nifti_volume(nifti)
    >>> values.shape, affine.diagonal().tolist()
    ((8, 6, 5), [-0.75, -1.5, 2.5, 1.0])
    """
    image = _open(Path(path))
    affine = _affine(image, Path(path))
    values = _data(image, Path(path), np.float32)
    if not np.isfinite(values).all():
        count = int(values.size - np.isfinite(values).sum())
        remedy = "Replace them by the value of what is not there, such as air."
        raise InputError("finite values", found=f"{count} NaN or infinite ones", remedy=remedy, path=path)
    return values, affine


def read_nifti_labels(path: str | Path) -> tuple[np.ndarray, np.ndarray]:
    """The labels of a NIfTI volume, (X, Y, Z) int32, and its affine, as `read_nifti_volume`.

    Raises:
        LabelError: fractions, NaN, or numbers beyond 32 bits.
        InputError, GeometryError: as `read_nifti_volume`.

    >>> read_nifti_labels(nifti)[0].dtype
    dtype('int32')
    """
    image = _open(Path(path))
    affine = _affine(image, Path(path))
    values = _data(image, Path(path), None)
    limits = np.iinfo(np.int32)
    if values.dtype.kind == "f" and not (np.isfinite(values) & (values == np.round(values))).all():
        found, remedy = "fractions or NaN", "Save labels, not probabilities."
        raise LabelError("a mask of whole numbers", found=found, remedy=remedy, path=path)
    if values.size and not limits.min <= values.min() <= values.max() <= limits.max:
        found, remedy = f"up to {float(values.max()):g}", "Number the classes from 0."
        raise LabelError("labels of 32 bits", found=found, remedy=remedy, path=path)
    return values.astype(np.int32), affine


def check_nifti_volume(path: str | Path) -> tuple[tuple[int, int, int], np.ndarray]:
    """The shape (X, Y, Z) of a NIfTI volume that `read_nifti_volume` accepts, and its affine to RAS+ mm.

    Only the header is read, and values where they may be NaN.

    Raises:
        InputError, GeometryError: as `read_nifti_volume`, except for whole numbers that are cut off.
    """
    image = _open(Path(path))
    shape, affine = _shape(image, Path(path)), _affine(image, Path(path))
    if image.get_data_dtype().kind not in "iu":
        read_nifti_volume(path)
    return shape, affine


def _open(path: Path) -> Nifti1Image:
    image = open_nifti(path)
    _shape(image, path)
    return image


def _shape(image: Nifti1Image, path: Path) -> tuple[int, int, int]:
    shape = tuple(int(length) for length in image.shape)
    if len(shape) < 3 or min(shape) < 1 or any(length != 1 for length in shape[3:]):
        found = " x ".join(map(str, shape)) or "none"
        remedy = "Save one volume a file: one time point, one channel."
        raise InputError("a volume of three axes", found=f"the axes {found}", remedy=remedy, path=path)
    return shape[0], shape[1], shape[2]


def _affine(image: Nifti1Image, path: Path) -> np.ndarray:
    affine, code = image.get_sform(coded=True)
    sform, qform = _in_millimetres(affine, image) if code else None, _qform(image, path)
    affine = sform if sform is not None else qform
    if affine is None:
        raise GeometryError(WHERE, found="neither sform nor qform (codes 0)", remedy=SET_AFFINE, path=path)
    if reason := _fault(affine):
        raise GeometryError(WHERE, found=reason, remedy=SET_AFFINE, path=path)
    if sform is not None and qform is not None:
        _check_agreement(sform, qform, image.shape[:3], path)
    check_volume(_shape(image, path), np.linalg.norm(affine[:3, :3], axis=0).tolist(), path=path)
    return affine


def _qform(image: Nifti1Image, path: Path) -> np.ndarray | None:
    """The qform; nibabel turns a voxel size of 0 into 1 mm, so sizes are read from the file again."""
    from nibabel.openers import ImageOpener

    if not int(image.header["qform_code"]):
        return None
    kind = type(image.header)
    with ImageOpener(path) as file:
        sizes = kind(file.read(kind.template_dtype.itemsize), check=False)["pixdim"][1:4]
    try:
        affine = image.get_qform()
    except ValueError:  # quaternions beyond 1
        affine = np.full((4, 4), np.nan)
    return _in_millimetres(affine if np.all(sizes != 0) else np.zeros((4, 4)), image)


def _in_millimetres(affine: np.ndarray, image: Nifti1Image) -> np.ndarray:
    factor = MILLIMETRES.get(int(image.header["xyzt_units"]) & 7, 1.0)
    return np.asarray(affine, np.float64) * [[factor], [factor], [factor], [1.0]]


def _fault(affine: np.ndarray) -> str:
    """What is wrong with an affine; empty where it is valid."""
    if not np.isfinite(affine).all():
        return "one with NaN or infinite numbers"
    with np.errstate(over="ignore"):
        lengths = np.linalg.norm(affine[:3, :3], axis=0)
    if not np.isfinite(lengths).all():
        return "one with numbers that are too large"
    if not lengths.all() or abs(np.linalg.det(affine[:3, :3] / lengths)) < SHEAR:
        return "a singular one: an axis has no length or no direction of its own"
    if fault := spacing_fault(lengths):
        return f"voxels of {fault}"
    if np.abs(affine[:3, 3]).max() > WHERE_MM:
        return "a volume more than 100 m away"
    cosines = (affine[:3, :3] / lengths).T @ (affine[:3, :3] / lengths)
    return "axes that are not perpendicular" if np.abs(cosines - np.eye(3)).max() > SHEAR else ""


def _check_agreement(sform: np.ndarray, qform: np.ndarray, shape: tuple[int, ...], path: Path) -> None:
    """Refuse differing sform and qform, but for rounding, because programs differ in which they use."""
    ends = [(0, length - 1) for length in shape]
    corners = np.array([(x, y, z, 1) for x in ends[0] for y in ends[1] for z in ends[2]], np.float64).T
    apart = float(np.linalg.norm(((sform - qform) @ corners)[:3], axis=0).max())
    diagonal = float(np.linalg.norm((sform @ corners)[:3, -1] - (sform @ corners)[:3, 0]))
    if not apart <= SAME_POSITION * diagonal + 1e-3:
        found = f"corners up to {apart:.2f} mm apart" if np.isfinite(apart) else "a qform without numbers"
        remedy = "Set the wrong one from the right one, or its code to 0."
        raise GeometryError("a sform and a qform that agree", found=found, remedy=remedy, path=path)


def _data(image: Nifti1Image, path: Path, dtype: Any) -> np.ndarray:
    if image.get_data_dtype().kind not in "iuf":
        found, remedy = "colours or complex numbers", "Save one number a voxel."
        raise InputError("a volume of numbers", found=found, remedy=remedy, path=path)
    return nifti_data(image, path, dtype).reshape(image.shape[:3])
