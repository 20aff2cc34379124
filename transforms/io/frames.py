"""Load one 2D frame from DICOM, NIfTI, PNG or JPEG as MONAI transforms, with equal axes and metadata."""

from __future__ import annotations

import warnings
from collections.abc import Hashable, Mapping, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.config import KeysCollection
from monai.data import ImageReader, MetaTensor
from monai.transforms import MapTransform, Transform
from PIL import Image, ImageOps

from pyraseg.transforms.dicom.files.search import check_regular
from pyraseg.transforms.dicom.files.values import malformed
from pyraseg.transforms.errors import InputError, PyrasegError
from pyraseg.transforms.io.dicom_reader import (
    DicomReader,
    Named,
    PathText,
    frame_metadata,
    handles,
    listed,
    the_only,
)
from pyraseg.transforms.io.display_range import ValueRange, from_black, is_dark
from pyraseg.transforms.io.limits import FRAME_BYTES, SCANS, are_finite, spacing_fault
from pyraseg.transforms.io.nifti_files import nifti_data, open_nifti
from pyraseg.transforms.io.paths import is_nifti, is_picture
from pyraseg.transforms.io.reading_options import ReadingOptions, as_reading
from pyraseg.transforms.labels.label_values import background_label
from pyraseg.transforms.privacy import case_name
from pyraseg.transforms.records import BACKGROUND

__all__ = [
    "FrameReader",
    "LoadFrame",
    "LoadFramed",
    "open_picture",
    "read_nifti",
    "read_picture",
    "states_range",
]

# PyTorch cannot compute with unsigned types wider than a byte.
TORCH_TYPES = {"u2": np.int32, "u4": np.int64, "u8": np.int64, "f2": np.float32, "b1": np.uint8}
GREY_MODES = {"L": "L", "LA": "L", "La": "L", "1": "L"}
PICTURE = {
    "wanted": "a PNG, JPEG or BMP image",
    "found": "a damaged or another kind of file",
    "remedy": "Export the image again.",
}
DEEP = ";16"  # of pillow's raw modes
MILLIMETRES = {"mm": 1.0, "unknown": 1.0, "meter": 1000.0, "micron": 0.001}


class FrameReader(ImageReader):
    """Reads one 2D frame as (C, H, W), row first: NIfTI, PNG, JPEG, BMP by suffix, else as DICOM.

    Args:
        as_labels: the files are masks: a palette keeps its indices instead of its colours, and grey of DICOM
            its stored values.
        reading: `ReadingOptions`, or a mapping of them; of frames that is ``value_range``.

    >>> reader = FrameReader()
    >>> array, metadata = reader.get_data(reader.read(picture))
    >>> array.shape, metadata["display_max"]
    ((1, 60, 80), 255.0)
    """

    def __init__(
        self, as_labels: bool = False, *, reading: ReadingOptions | Mapping[str, Any] | None = None
    ) -> None:
        self.as_labels = as_labels
        self.reading = ReadingOptions.of(reading)
        self._dicom = DicomReader(as_labels=as_labels, value_range=self.reading.value_range)

    def verify_suffix(self, filename: Sequence[Named] | Named) -> bool:
        """Whether every file has one of these suffixes or is DICOM by content."""
        named = handles(listed(filename))
        others = [each for each in named if not is_nifti(each.path) and not is_picture(each.path)]
        return self._dicom.verify_suffix(others)

    def read(self, data: Sequence[Named] | Named, **kwargs: Any) -> list[Named]:
        """List the path; `get_data` opens the file, so `LoadImage` does not try other readers."""
        return listed(data)

    def get_data(self, img: Sequence[Named]) -> tuple[np.ndarray, dict[str, Any]]:
        """Decode the frame: its array (C, H, W) in its own dtype, and its metadata.

        Raises:
            InputError: the file is missing, broken, empty, has several frames, NaN or infinite values, or
                does not say which of its values are black and white.
        """
        handle = the_only(handles(img))
        path = handle.path
        if not is_nifti(path) and not is_picture(path):
            return self._dicom.get_data([handle])
        check_regular(path, wanted="an image file")
        if handle.frame_index is not None:
            found = "a frame index behind a picture's name"
            raise InputError("an image file", found=found, remedy="Check the path.", path=path)
        spacing, full = None, None
        if is_nifti(path):
            array, stated, spacing = read_nifti(path)
        else:
            array, stated = read_picture(path, as_labels=self.as_labels)
            full = float(np.iinfo(array.dtype).max)
        _check_values(array, path)
        white = 255.0  # nothing of a mask is shown
        if not self.as_labels:
            declared = self.reading.value_range
            array, white = from_black(array, stated=stated, declared=declared, full=full, path=path)
        metadata = frame_metadata(
            array.shape,
            spacing_mm=spacing,
            spacing_source="nifti" if spacing else "none",
            display_max=white,
            frame_index=0,
            number_of_frames=1,
        )
        return array, metadata


class LoadFrame(Transform):
    """Load one frame as a `MetaTensor` (C, H, W) by `FrameReader`, and by no other reader.

    The dtype is the file's, or the next wider one that PyTorch computes with. The metadata has the frame's
    ``case``, a keyed hash, instead of its path, so it can be logged.

    Args:
        as_labels, reading: see `FrameReader`.

    >>> image = LoadFrame()(f"{cine}#frame_index=1")
    >>> image.shape, image.meta["spacing_mm"]
    (torch.Size([1, 60, 80]), [0.5, 0.5])
    """

    def __init__(
        self, as_labels: bool = False, *, reading: ReadingOptions | Mapping[str, Any] | None = None
    ) -> None:
        self.reader = FrameReader(as_labels, reading=reading)

    def __call__(self, path: PathText, case: str | None = None) -> MetaTensor:
        """Load ``path`` of ``case``; by default the case is the path's keyed hash.

        Raises:
            PyrasegError: as `FrameReader.get_data`; the message names the case.
        """
        case = case or case_name(str(path))
        try:
            array, metadata = self.reader.get_data(self.reader.read(path))
        except PyrasegError as error:
            raise error.restated(found=f"{error.found}, in case {case}", spell=as_reading) from None
        # Tensors, not NumPy arrays: a dataset's cache is read with weights_only, which refuses arrays
        plain = {key: torch.as_tensor(v) if isinstance(v, np.ndarray) else v for key, v in metadata.items()}
        return MetaTensor(torch.from_numpy(_torch_array(array)), meta=plain | {"case": case})


class LoadFramed(MapTransform):
    """`LoadFrame` on the entries of a dictionary.

    Args:
        keys: entries that hold path strings; "label" is a mask.
        reading: see `FrameReader`, for images.
        allow_missing_keys: skip keys that an item lacks.

    >>> LoadFramed("image")({"image": picture})["image"].shape
    torch.Size([1, 60, 80])
    """

    def __init__(
        self,
        keys: KeysCollection,
        *,
        reading: ReadingOptions | Mapping[str, Any] | None = None,
        allow_missing_keys: bool = False,
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        self.load_image, self.load_label = LoadFrame(reading=reading), LoadFrame(as_labels=True)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Load every entry; its case is the item's ``case``, or else the path's keyed hash.

        An item with ``background`` shows none of the classes; its label is 0 everywhere.
        """
        item = dict(data)
        blank = bool(item.pop(BACKGROUND, False)) and "label" in self.keys
        for key in self.key_iterator({**item, "label": ""} if blank else item):
            if key == "label" and blank:
                item[key] = background_label(item["image"])
                continue
            load = self.load_label if key == "label" else self.load_image
            item[key] = load(item[key], item.get("case"))
        return item


def _check_values(array: np.ndarray, path: Path) -> None:
    if 0 in array.shape:
        found = f"an image of {array.shape[1]} x {array.shape[2]} pixels"
    elif array.dtype.kind == "f" and not are_finite(array.astype(np.float32, copy=False)):
        found = "NaN or infinite values"  # or beyond single precision, in which networks compute
    elif array.dtype.kind not in "uifb":
        found = f"values of type {array.dtype}"
    else:
        return
    raise InputError("an image of finite numbers", found=found, remedy="Leave this file out.", path=path)


def _torch_array(array: np.ndarray) -> np.ndarray:
    native = array.astype(array.dtype.newbyteorder("="), copy=False)
    wider = TORCH_TYPES.get(native.dtype.str[1:])
    typed = native if wider is None else native.astype(wider)
    return np.require(typed, requirements=["C", "W"])  # PyTorch warns of read-only memory


def open_picture(path: Path) -> Image.Image:
    """Open a PNG, JPEG or BMP, whose pixels are decoded when they are asked for.

    Raises:
        InputError: not such a file, too large, a JPEG of more than `SCANS`, or an animation.
    """
    check_regular(path, wanted=PICTURE["wanted"])
    with malformed(path=path, **PICTURE):
        data = path.read_bytes()  # a file's own read would make room for whatever length a chunk states
        try:
            image = Image.open(BytesIO(data), formats=("PNG", "JPEG", "BMP"))
        except Image.DecompressionBombError:
            raise _too_large(path) from None
        frames = getattr(image, "n_frames", 1)
        scans = data.count(b"\xff\xda") if image.format == "JPEG" else 1
    _check_size(path, image.width * image.height * 3)
    if frames > 1:
        remedy = "Export its frames one by one."
        raise InputError(PICTURE["wanted"], found="an animation", remedy=remedy, path=path)
    if scans > SCANS:
        found = f"a JPEG of {scans} scans, more than {SCANS}"
        raise InputError(PICTURE["wanted"], found=found, remedy=PICTURE["remedy"], path=path)
    return image


def states_range(path: Path) -> bool:
    """Whether a picture's header says what is black and white: it has 8 bits. NIfTI's may not."""
    if is_nifti(path):
        return False
    with open_picture(path) as image:
        return not _is_deep(image)


def _is_deep(image: Image.Image) -> bool:
    """Whether a PNG has 16 bits; of colour and of grey with alpha pillow keeps the upper bytes alone."""
    return any(DEEP in str(tile) for tile in getattr(image, "tile", ()))


def read_picture(path: Path, *, as_labels: bool = False) -> tuple[np.ndarray, ValueRange | None]:
    """A PNG, JPEG or BMP as (C, H, W), and the values that are black and white; None for 16 bits.

    PNG calls the highest value of 16 bits white (and sBIT says how precise values are), but many programs
    store 10 or 12 bits in it as they are.

    Grey stays grey (8 or 16 bit), other modes become 8-bit RGB; alpha is dropped, EXIF orientation applied.

    Args:
        as_labels: keep indices of a palette PNG and 0 and 1 of a 1-bit PNG; by default they become colours.

    Raises:
        InputError: not such a file, truncated, too large, an animation, or dark colours of 16 bits.
    """
    with open_picture(path) as image:
        deep = image.mode.startswith("I")  # 16-bit grey is I;16 in pillow, I in older versions
        halved = _is_deep(image) and not deep
        kept = deep or (as_labels and image.mode in ("P", "1"))
        with malformed(path=path, **PICTURE):
            upright = ImageOps.exif_transpose(image)
            array = np.array(upright if kept else upright.convert(GREY_MODES.get(upright.mode, "RGB")))
        if kept:
            array = array.astype(np.uint16 if deep else np.uint8)
    if halved and not as_labels and is_dark(max(1.0, float(array.max(initial=0))), 255):
        found, remedy = "dark ones, whose values may have fewer bits", "Save it with 8 bits a colour."
        raise InputError("colours of 16 bits up to 65535", found=found, remedy=remedy, path=path)
    stated = None if deep else (0.0, 255.0)
    return (array[None] if array.ndim == 2 else array.transpose(2, 0, 1)), stated


def read_nifti(path: Path) -> tuple[np.ndarray, ValueRange | None, tuple[float, float] | None]:
    """A NIfTI of one 2D frame: (C, H, W), its values of black and white, mm between rows and columns.

    Bytes are shown from 0 to 255, other values from cal_min to cal_max where the header sets them.

    Frames are stored as (W, H) or (W, H, 1), column first, like NIfTI's x axis, and transposed here. The
    stored order counts, whatever flips the affine has. Colour is RGB24 voxels or a vector of three.
    Converters write voxels of exactly 1 x 1 without a calibration, so the spacing is None then.

    Raises:
        InputError: not NIfTI, truncated, too large, or more than one frame.
    """
    wanted, found, remedy = "a NIfTI image", "a file that cannot be decoded", "Export the image again."
    image = open_nifti(path)
    shape, itemsize = image.shape, image.get_data_dtype().itemsize
    _check_one_frame(path, shape)
    _check_size(path, int(np.prod(shape, dtype=np.int64)) * itemsize)
    stored = nifti_data(image, path)
    with malformed(wanted, path=path, found=found, remedy=remedy):
        column, row = (float(value) for value in image.header.get_zooms()[:2])
        scale = MILLIMETRES.get(image.header.get_xyzt_units()[0], 1.0)
    array = _channels_last(stored)
    spacing = None if (row, column) == (1.0, 1.0) else (row * scale, column * scale)
    if spacing and (fault := spacing_fault(spacing, array.shape[1::-1])):
        warnings.warn(f"the size of a NIfTI's pixels, {fault}, is ignored", stacklevel=2)
        spacing = None
    return array.transpose(2, 1, 0), _stated_range(array, image.header), spacing


def _check_one_frame(path: Path, shape: tuple[int, ...]) -> None:
    """Accepts (W, H), (W, H, 1), (W, H, 1, 1) and, for a vector of three channels, (W, H, 1, 1, 3)."""
    vector = len(shape) == 5 and shape[4] == 3
    if len(shape) >= 2 and all(size == 1 for size in (shape[2:4] if vector else shape[2:])):
        return
    wanted = "a NIfTI of one 2D frame, stored as (W, H) or (W, H, 1)"
    found = f"an array of {' x '.join(str(size) for size in shape)}"
    remedy = "Write each frame to a file of its own, colour as RGB24 or as a vector."
    raise InputError(wanted, found=found, remedy=remedy, path=path)


def _check_size(path: Path, size: int) -> None:
    if size > FRAME_BYTES:
        raise _too_large(path)


def _too_large(path: Path) -> InputError:
    wanted, remedy = f"frames of at most {FRAME_BYTES} bytes", "Resample the image."
    return InputError(wanted, found="a larger one", remedy=remedy, path=path)


def _channels_last(data: np.ndarray) -> np.ndarray:
    """(W, H, C) from any of the stored shapes."""
    if data.dtype.names:
        data = np.stack([data[name] for name in ("R", "G", "B")], axis=-1)
        return data.reshape(*data.shape[:2], 3)
    return data.reshape(*data.shape[:2], 3 if data.ndim == 5 and data.shape[4] == 3 else 1)


def _stated_range(array: np.ndarray, header: Any) -> ValueRange | None:
    if array.dtype == np.uint8:
        return 0.0, 255.0
    low, high = float(header["cal_min"]), float(header["cal_max"])
    return (low, high) if np.isfinite([low, high]).all() and low < high else None
