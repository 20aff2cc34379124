"""Label maps and probabilities of frames, cines and volumes as NIfTI, laid out as ITK does."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from pyraseg.pipeline.utils.files import atomic_write
from pyraseg.transforms.errors import GeometryError, LabelError, OutputError
from pyraseg.transforms.io.paths import NIFTI_SUFFIXES

__all__ = ["write_label", "write_labels", "write_probabilities"]

SLICE_THICKNESS = 1.0  # a frame has none; NIfTI wants one
SCANNER_ANAT = 1  # the code that ITK writes, and that viewers ask for before they trust a transform
LONGEST = 32767  # NIfTI's sizes are 16-bit
Spacing = tuple[float, float]


def write_label(path: str | Path, mask: ArrayLike, *, spacing_mm: Spacing | None = None) -> Path:
    """Write the label map of one 2D frame as unsigned bytes.

    The file holds (W, H, 1), columns first, with the affine diag(-column spacing, -row spacing, 1) in RAS+:
    that is ITK's identity direction in DICOM's LPS, so 3D Slicer, ITK-SNAP and SimpleITK show the frame
    upright, as its source. Without calibration the spacing is 1, the units are unknown, and the header's
    description says so.

    Args:
        path: a name ending in .nii.gz or .nii. The same content always gives the same bytes.
        mask: (H, W), integers from 0 to 255.
        spacing_mm: (row spacing, column spacing) in mm per pixel, the order of DICOM's Pixel Spacing
            (0028,0030).

    Raises:
        GeometryError: the mask is not (H, W), or a spacing is not a positive number.
        LabelError: a value that is no integer from 0 to 255.
        OutputError: another extension, or a file that cannot be written.
    """
    labels = np.asarray(mask)
    if labels.ndim != 2 or not labels.size:
        raise GeometryError(
            "a mask (H, W)", found=f"{labels.shape}", remedy="Take one frame without its channel."
        )
    return write_labels(path, labels[None], spacing_mm=spacing_mm)


def write_labels(
    path: str | Path,
    labels: np.ndarray,
    *,
    spacing_mm: Spacing | None = None,
    frame_time_ms: float | None = None,
    affine: np.ndarray | None = None,
) -> Path:
    """Write the label maps of a cine as `write_label` does, as (W, H, 1, F) with the frames as NIfTI's time.

    A single frame has no time and is the file that `write_label` writes. The frames are read and written one
    by one, so ``labels`` may be a memory map.

    Args:
        labels: (F, H, W), integers from 0 to 255.
        frame_time_ms: from one frame to the next; in the file it is in seconds. Unknown, it is 1 of an
            unknown unit.
        affine: (4, 4), from index to RAS+ mm: the frames are the slices of a volume, which is written as (W,
            H, F).

    Raises:
        GeometryError: the labels are not (F, H, W), or a spacing or a time is not a positive number.
        LabelError, OutputError: as `write_label`.
    """
    _check_shape(labels, "label maps (F, H, W)", ndim=3)
    frames, height, width = labels.shape
    if affine is not None:
        header = _volume_header((width, height, frames), "label map", affine)
    else:
        header = _header(
            (width, height, 1, frames)[: 3 if frames == 1 else 4], "label map", spacing_mm, frame_time_ms
        )
    return _write(path, header, (_as_bytes(frame) for frame in labels))


def write_probabilities(
    path: str | Path,
    probabilities: np.ndarray,
    *,
    spacing_mm: Spacing | None = None,
    frame_time_ms: float | None = None,
    affine: np.ndarray | None = None,
) -> Path:
    """Write the class probabilities of frames as (W, H, 1, F, K): NIfTI's fifth axis holds the values of one
    point.

    They are stored as bytes with a slope of 1/255, which readers apply by themselves: off by at most 0.002,
    at a sixth of the size of floating point and a fifth of the time. What needs the classes takes the label
    map. NIfTI's code for vectors is left out: ITK 5.4 overruns its memory on vectors of bytes with a slope.

    Args:
        probabilities: (F, K, H, W), from 0 to 1; it may be a memory map.
        affine: as `write_labels`: the frames are slices, and the file holds (W, H, F, 1, K).

    Raises:
        GeometryError: another shape, or a spacing or a time that is not a positive number.
        LabelError: a value below 0 or above 1.
        OutputError: as `write_label`.
    """
    _check_shape(probabilities, "probabilities (F, K, H, W)", ndim=4)
    frames, classes, height, width = probabilities.shape
    if affine is not None:
        header = _volume_header((width, height, frames, 1, classes), "class probabilities", affine)
    else:
        header = _header(
            (width, height, 1, frames, classes), "class probabilities", spacing_mm, frame_time_ms
        )
    header.set_slope_inter(1 / 255, 0)
    planes = (probabilities[frame, k] for k in range(classes) for frame in range(frames))
    return _write(path, header, map(_as_shares, planes))


def _header(
    shape: tuple[int, ...], content: str, spacing_mm: Spacing | None, frame_time_ms: float | None
) -> Any:  # nibabel.Nifti1Header, which is imported here only
    import nibabel

    row_mm, column_mm = _positive(spacing_mm, "a positive row and column spacing in mm") or (1.0, 1.0)
    (time_ms,) = _positive(
        None if frame_time_ms is None else (frame_time_ms,), "a positive time from frame to frame"
    ) or (None,)
    header = _placed(nibabel.Nifti1Header(), shape, np.diag([-column_mm, -row_mm, SLICE_THICKNESS, 1.0]))
    timed = len(shape) > 3 and time_ms is not None
    steps = (time_ms / 1000 if timed and time_ms else 1.0, 1.0)
    header.set_zooms((column_mm, row_mm, SLICE_THICKNESS, *steps)[: len(shape)])
    header.set_xyzt_units("mm" if spacing_mm else "unknown", "sec" if timed else "unknown")
    header["descrip"] = (
        f"{content}, {'spacing in mm' if spacing_mm else 'uncalibrated: spacing in pixels'}".encode()
    )
    return header


def _volume_header(shape: tuple[int, ...], content: str, affine: np.ndarray) -> Any:
    import nibabel

    header = _placed(nibabel.Nifti1Header(), shape, np.asarray(affine, np.float64))
    header.set_xyzt_units("mm", "unknown")
    header["descrip"] = f"{content}, on the grid of its source".encode()
    return header


def _placed(header: Any, shape: tuple[int, ...], affine: np.ndarray) -> Any:
    header.set_data_dtype(np.uint8)
    header.set_data_shape(shape)
    header.set_sform(affine, code=SCANNER_ANAT)
    header.set_qform(affine, code=SCANNER_ANAT)
    header.set_slope_inter(1, 0)
    header.set_data_offset(header.single_vox_offset)
    return header


def _write(path: str | Path, header: Any, planes: Iterable[bytes]) -> Path:
    path = Path(path)
    if not path.name.endswith(NIFTI_SUFFIXES):
        raise OutputError(
            "a NIfTI file's name",
            found="another extension",
            remedy="Let it end in .nii.gz or .nii.",
            path=path,
        )
    start = header.binaryblock.ljust(header.single_vox_offset, b"\0")
    with atomic_write(path) as file:
        for part in _gzipped([start], planes) if path.suffix == ".gz" else _chained([start], planes):
            file.write(part)
    return path


def _chained(*parts: Iterable[bytes]) -> Iterator[bytes]:
    for part in parts:
        yield from part


def _gzipped(*parts: Iterable[bytes]) -> Iterator[bytes]:
    """One gzip member without name and time. Runs of one value are all that a label map has: looking for
    nothing else makes it smaller than level 1 does, as fast.
    """
    packer = zlib.compressobj(1, zlib.DEFLATED, 16 + zlib.MAX_WBITS, zlib.DEF_MEM_LEVEL, zlib.Z_RLE)
    for part in _chained(*parts):
        yield packer.compress(part)
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


def _positive(values: Sequence[float] | None, wanted: str) -> tuple[float, ...] | None:
    if values is None:
        return None
    numbers = tuple(float(value) for value in values)
    if not all(0 < number < np.inf for number in numbers):
        remedy = "Leave out what is not known."
        raise GeometryError(wanted, found=f"{numbers}", remedy=remedy)
    return numbers
