"""2D frames from PNG, JPEG and NIfTI files, in the same axis order as DICOM frames: (C, H, W), row first."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from pyraseg.transforms.dicom.files.values import malformed
from pyraseg.transforms.dicom.pixels.checks import MAX_FRAME_BYTES
from pyraseg.transforms.errors import InputError

__all__ = ["read_nifti", "read_picture"]

GREY_MODES = {"L": "L", "LA": "L", "La": "L", "1": "L"}
MILLIMETRES = {"mm": 1.0, "unknown": 1.0, "meter": 1000.0, "micron": 0.001}


def read_picture(path: Path, *, as_labels: bool = False) -> tuple[np.ndarray, float]:
    """A PNG, JPEG or BMP as (C, H, W) and the value that shows as white.

    Grey stays grey (8 or 16 bit), everything else becomes 8-bit RGB; an alpha channel is dropped, an EXIF
    orientation applied.

    Args:
        as_labels: keep the indices of a palette PNG, which are the labels of a mask drawn with colours, and 0
            and 1 of a 1-bit PNG; for an image both become what they show.

    Raises:
        InputError: not such a file, truncated, too large, or an animation.
    """
    wanted, found, remedy = (
        "a PNG, JPEG or BMP image",
        "a file that cannot be decoded",
        "Export the image again.",
    )
    with malformed(wanted, path=path, found=found, remedy=remedy):
        try:
            image = Image.open(path, formats=("PNG", "JPEG", "BMP"))
        except Image.DecompressionBombError:
            raise _too_large(path) from None
        frames = getattr(image, "n_frames", 1)
    with image:
        _check_size(path, image.width * image.height * 3)
        if frames > 1:
            raise InputError(wanted, found="an animation", remedy="Export its frames one by one.", path=path)
        with malformed(wanted, path=path, found=found, remedy=remedy):
            array = _samples(ImageOps.exif_transpose(image), as_labels)
    display_max = float(np.iinfo(array.dtype).max) if array.dtype.kind in "ui" else 1.0
    return (array[None] if array.ndim == 2 else array.transpose(2, 0, 1)), display_max


def _samples(image: Image.Image, as_labels: bool) -> np.ndarray:
    if as_labels and image.mode in ("P", "1"):
        return np.array(image).astype(np.uint8)
    if image.mode.startswith("I"):  # pillow opens 16-bit grey as I;16, older versions as I
        return np.array(image).astype(np.uint16)
    return np.array(image.convert(GREY_MODES.get(image.mode, "RGB")))


def read_nifti(path: Path) -> tuple[np.ndarray, float, tuple[float, float] | None]:
    """A NIfTI of one 2D frame: (C, H, W), the value that shows as white, and mm between rows and columns.

    Frames are stored as (W, H) or (W, H, 1), column first, as NIfTI's x axis asks for, and transposed here;
    the stored order counts, whatever flips the affine names. Colour is RGB24 voxels or a vector of three.
    Voxels of exactly 1 x 1 are what converters write for want of a calibration; the spacing is None then.

    Raises:
        InputError: not NIfTI, truncated, too large, or more than one frame.
    """
    import nibabel

    wanted, found, remedy = "a NIfTI image", "a file that cannot be decoded", "Export the image again."
    with malformed(wanted, path=path, found=found, remedy=remedy):
        image = nibabel.load(path)
        shape, itemsize = image.shape, image.get_data_dtype().itemsize
    _check_one_frame(path, shape)
    _check_size(path, int(np.prod(shape, dtype=np.int64)) * itemsize)
    with malformed(wanted, path=path, found=found, remedy=remedy):
        stored = np.asanyarray(image.dataobj)
        column, row = (float(value) for value in image.header.get_zooms()[:2])
        scale = MILLIMETRES.get(image.header.get_xyzt_units()[0], 1.0)
    array = _channels_last(stored)
    calibrated = all(np.isfinite(value) and value > 0 for value in (row, column))
    spacing = (row * scale, column * scale) if calibrated and (row, column) != (1.0, 1.0) else None
    return array.transpose(2, 1, 0), _white(array), spacing


def _check_one_frame(path: Path, shape: tuple[int, ...]) -> None:
    """(W, H), (W, H, 1), (W, H, 1, 1) and, for a vector of three channels, (W, H, 1, 1, 3)."""
    vector = len(shape) == 5 and shape[4] == 3
    if len(shape) >= 2 and all(size == 1 for size in (shape[2:4] if vector else shape[2:])):
        return
    wanted = "a NIfTI of one 2D frame, stored as (W, H) or (W, H, 1)"
    found = f"an array of {' x '.join(str(size) for size in shape)}"
    remedy = "Write each frame to a file of its own, colour as RGB24 or as a vector."
    raise InputError(wanted, found=found, remedy=remedy, path=path)


def _check_size(path: Path, size: int) -> None:
    if size > MAX_FRAME_BYTES:
        raise _too_large(path)


def _too_large(path: Path) -> InputError:
    wanted, remedy = f"frames of at most {MAX_FRAME_BYTES} bytes", "Resample the image."
    return InputError(wanted, found="a larger one", remedy=remedy, path=path)


def _channels_last(data: np.ndarray) -> np.ndarray:
    """(W, H, C) from any of the stored shapes."""
    if data.dtype.names:
        data = np.stack([data[name] for name in ("R", "G", "B")], axis=-1)
        return data.reshape(*data.shape[:2], 3)
    return data.reshape(*data.shape[:2], 3 if data.ndim == 5 and data.shape[4] == 3 else 1)


def _white(array: np.ndarray) -> float:
    """What shows as white, which NIfTI does not say: 255 for values up to it, 1 for fractions, else the
    maximum."""
    if array.dtype == np.uint8:
        return 255.0
    highest = float(array.max()) if array.size else 0.0
    if highest > 255 or not np.isfinite(highest):
        return highest
    return 1.0 if highest <= 1 and array.dtype.kind == "f" else 255.0
