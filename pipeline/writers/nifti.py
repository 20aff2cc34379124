"""Label maps and probabilities of frames, cines and volumes as NIfTI, in ITK's layout."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from pathlib import Path

import numpy as np
from nibabel import Nifti1Header
from numpy.typing import ArrayLike

from pyraseg.pipeline.utils.files import atomic_write
from pyraseg.transforms.errors import GeometryError, LabelError, OutputError
from pyraseg.transforms.io.paths import NIFTI_SUFFIXES

__all__ = ["write_label", "write_labels", "write_probabilities"]

SLICE_THICKNESS = 1.0  # a frame has none, but NIfTI needs one
SCANNER_ANAT = 1  # ITK writes this code, and viewers require it
LONGEST = 32767  # NIfTI's sizes are 16-bit
Spacing = tuple[float, float]


def write_label(path: str | Path, mask: ArrayLike, *, spacing_mm: Spacing | None = None) -> Path:
    """Write the label map of one 2D frame as unsigned bytes.

    The file holds (W, H, 1), columns first, with the affine diag(-column spacing, -row spacing, 1) in RAS+,
    ITK's identity direction in DICOM's LPS. So 3D Slicer, ITK-SNAP and SimpleITK show the frame upright, as
    its source. Without calibration the spacing is 1, the units are unknown, and the description says so.

    Args:
        path: a name ending in .nii.gz or .nii. The same content always gives the same bytes.
        mask: (H, W), integers from 0 to 255.
        spacing_mm: (row spacing, column spacing) in mm per pixel, as DICOM's Pixel Spacing (0028,0030).

    Raises:
        GeometryError: the mask is not (H, W), or a spacing is not a positive number.
        LabelError: a value that is no integer from 0 to 255.
        OutputError: another extension, or a file that cannot be written.

    >>> import tempfile
    >>> import nibabel
    >>> import numpy as np
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = write_label(f"{folder}/mask.nii.gz", np.eye(3, 4, dtype=np.uint8), spacing_mm=(0.5, 0.25))
    ...     image = nibabel.load(path)
    ...     image.shape, [float(zoom) for zoom in image.header.get_zooms()]
    ((4, 3, 1), [0.25, 0.5, 1.0])
    """
    labels = np.asarray(mask)
    if labels.ndim != 2 or not labels.size:
        remedy = "Take one frame without its channel."
        raise GeometryError("a mask (H, W)", found=f"{labels.shape}", remedy=remedy)
    return write_labels(path, labels[None], spacing_mm=spacing_mm)


def write_labels(
    path: str | Path,
    labels: np.ndarray,
    *,
    spacing_mm: Spacing | None = None,
    frame_time_ms: float | None = None,
    affine: np.ndarray | None = None,
) -> Path:
    """Write the label maps of a cine as (W, H, 1, F), with the frames as NIfTI's time; see `write_label`.

    A single frame has no time and is the file that `write_label` writes. The frames are read and written one
    by one, so ``labels`` may be a memory map.

    Args:
        labels: (F, H, W), integers from 0 to 255.
        frame_time_ms: between frames; seconds in the file. None becomes 1 of an unknown unit.
        affine: (4, 4), from index to RAS+ mm, of a volume with (W, H, F) in the file.

    Raises:
        GeometryError: the labels are not (F, H, W), or a spacing or a time is not a positive number.
        LabelError, OutputError: as `write_label`.

    >>> import tempfile
    >>> import nibabel
    >>> import numpy as np
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     cine = write_labels(f"{folder}/cine.nii", np.zeros((5, 3, 4), np.uint8), frame_time_ms=40)
    ...     volume = write_labels(f"{folder}/ct.nii", np.zeros((5, 3, 4), np.uint8), affine=np.eye(4))
    ...     nibabel.load(cine).shape, nibabel.load(volume).shape
    ((4, 3, 1, 5), (4, 3, 5))
    """
    _check_shape(labels, "label maps (F, H, W)", ndim=3)
    frames, height, width = labels.shape
    shape = (width, height, frames) if affine is not None else (width, height, 1, frames)[: 3 + (frames > 1)]
    header = _header(shape, "label map", affine, spacing_mm, frame_time_ms)
    return _write(path, header, (_as_bytes(frame) for frame in labels))


def write_probabilities(
    path: str | Path,
    probabilities: np.ndarray,
    *,
    spacing_mm: Spacing | None = None,
    frame_time_ms: float | None = None,
    affine: np.ndarray | None = None,
) -> Path:
    """Write the class probabilities of frames as (W, H, 1, F, K), NIfTI's fifth axis being vectors.

    They are stored as bytes with a slope of 1/255, which readers apply: off by at most 0.002, at a sixth of
    the size of floating point and a fifth of the time. For the classes use the label map. NIfTI's code for
    vectors is not set: ITK 5.4 overruns its memory on vectors of bytes with a slope.

    Args:
        probabilities: (F, K, H, W), from 0 to 1; it may be a memory map.
        affine: as `write_labels`: the frames are slices, and the file holds (W, H, F, 1, K).

    Raises:
        GeometryError: another shape, or a spacing or a time that is not a positive number.
        LabelError: a value below 0 or above 1.
        OutputError: as `write_label`.

    >>> import tempfile
    >>> import nibabel
    >>> import numpy as np
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = write_probabilities(f"{folder}/p.nii", np.full((1, 2, 3, 4), 0.5, np.float32))
    ...     image = nibabel.load(path)
    ...     image.shape, round(float(image.get_fdata().max()), 2)
    ((4, 3, 1, 1, 2), 0.5)
    """
    _check_shape(probabilities, "probabilities (F, K, H, W)", ndim=4)
    frames, classes, height, width = probabilities.shape
    slices, times = (1, frames) if affine is None else (frames, 1)
    shape = (width, height, slices, times, classes)
    header = _header(shape, "class probabilities", affine, spacing_mm, frame_time_ms)
    header.set_slope_inter(1 / 255, 0)
    planes = (probabilities[frame, k] for k in range(classes) for frame in range(frames))
    return _write(path, header, map(_as_shares, planes))


def _header(
    shape: tuple[int, ...],
    content: str,
    affine: np.ndarray | None,
    spacing_mm: Spacing | None,
    frame_time_ms: float | None,
) -> Nifti1Header:
    """Of a volume where there is an affine, else of frames."""
    if affine is not None:
        header = _placed(shape, affine)
        header.set_xyzt_units("mm", "unknown")
        header["descrip"] = f"{content}, on the grid of its source".encode()
        return header
    row_mm, column_mm = _positive(spacing_mm or (1.0, 1.0), "a positive row and column spacing in mm")
    timed = len(shape) > 3 and frame_time_ms is not None
    (time_ms,) = _positive(
        (1000.0 if frame_time_ms is None else frame_time_ms,), "a positive time from frame to frame"
    )
    header = _placed(shape, np.diag([-column_mm, -row_mm, SLICE_THICKNESS, 1.0]))
    header.set_zooms((column_mm, row_mm, SLICE_THICKNESS, time_ms / 1000, 1.0)[: len(shape)])
    header.set_xyzt_units("mm" if spacing_mm else "unknown", "sec" if timed else "unknown")
    said = "spacing in mm" if spacing_mm else "uncalibrated: spacing in pixels"
    header["descrip"] = f"{content}, {said}".encode()
    return header


def _placed(shape: tuple[int, ...], affine: np.ndarray) -> Nifti1Header:
    header = Nifti1Header()
    header.set_data_dtype(np.uint8)
    header.set_data_shape(shape)
    header.set_sform(np.asarray(affine, np.float64), code=SCANNER_ANAT)
    header.set_qform(np.asarray(affine, np.float64), code=SCANNER_ANAT)
    header.set_slope_inter(1, 0)
    header.set_data_offset(header.single_vox_offset)
    return header


def _write(path: str | Path, header: Nifti1Header, planes: Iterable[bytes]) -> Path:
    path = Path(path)
    if not path.name.endswith(NIFTI_SUFFIXES):
        remedy = "Let it end in .nii.gz or .nii."
        raise OutputError("a NIfTI file's name", found="another extension", remedy=remedy, path=path)
    parts = chain([header.binaryblock.ljust(header.single_vox_offset, b"\0")], planes)
    with atomic_write(path) as file:
        file.writelines(_gzipped(parts) if path.suffix == ".gz" else parts)
    return path


def _gzipped(parts: Iterable[bytes]) -> Iterator[bytes]:
    """One gzip member without name and time.

    Only runs of one value are encoded, as label maps have no other patterns: smaller than level 1, as fast.
    """
    packer = zlib.compressobj(1, zlib.DEFLATED, 16 + zlib.MAX_WBITS, zlib.DEF_MEM_LEVEL, zlib.Z_RLE)
    yield from map(packer.compress, parts)
    yield packer.flush()


def _as_bytes(frame: ArrayLike) -> bytes:
    source = np.asarray(frame)
    with np.errstate(invalid="ignore"):  # NaN is refused below
        labels = source.astype(np.uint8, copy=False)
    if labels is not source and not np.array_equal(labels, source):
        remedy = "Take the argmax over the classes first."
        raise LabelError("a mask of integers from 0 to 255", found="other values", remedy=remedy)
    return labels.tobytes()


def _as_shares(plane: ArrayLike) -> bytes:
    source = np.asarray(plane, np.float32)
    if not (source.min() >= -1e-4 and source.max() <= 1 + 1e-4):  # NaN is neither
        raise LabelError("probabilities from 0 to 1", found="other values", remedy="Take the softmax first.")
    return np.rint(255 * source.clip(0, 1)).astype(np.uint8).tobytes()


def _check_shape(values: np.ndarray, wanted: str, *, ndim: int) -> None:
    if values.ndim != ndim or not values.size or max(values.shape) > LONGEST:
        remedy = "Give all frames, without a channel for labels, and at most 32767 of them."
        raise GeometryError(wanted, found=f"{values.shape}", remedy=remedy)


def _positive(values: Sequence[float], wanted: str) -> tuple[float, ...]:
    numbers = tuple(float(value) for value in values)
    if not all(0 < number < np.inf for number in numbers):
        raise GeometryError(wanted, found=f"{numbers}", remedy="Leave out what is not known.")
    return numbers
