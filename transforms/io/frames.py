"""Loading one 2D frame from DICOM, NIfTI, PNG or JPEG as MONAI transforms, alike in axes and metadata."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.config import KeysCollection
from monai.data import ImageReader, MetaTensor
from monai.transforms import MapTransform, Transform
from monai.utils import ensure_tuple

from pyraseg.transforms.errors import InputError, PyrasegError
from pyraseg.transforms.io.dicom_reader import (
    DicomReader,
    FrameHandle,
    PathText,
    frame_metadata,
    handles,
    the_only,
)
from pyraseg.transforms.io.paths import is_nifti, is_picture
from pyraseg.transforms.io.raster import read_nifti, read_picture
from pyraseg.transforms.privacy import case_name

__all__ = ["FrameReader", "LoadFrame", "LoadFramed"]

# PyTorch computes with no unsigned type wider than a byte.
TORCH_TYPES = {"u2": np.int32, "u4": np.int64, "u8": np.int64, "f2": np.float32, "b1": np.uint8}


class FrameReader(ImageReader):
    """Reads one 2D frame as (C, H, W), row first: NIfTI, PNG, JPEG, BMP by their suffix, else as DICOM.

    Args:
        as_labels: the files are masks: a palette PNG keeps its indices instead of its colours.

    >>> reader = FrameReader()
    >>> array, metadata = reader.get_data(reader.read(picture))
    >>> array.shape, metadata["display_max"]
    ((1, 60, 80), 255.0)
    """

    def __init__(self, as_labels: bool = False) -> None:
        self.as_labels = as_labels
        self._dicom = DicomReader()

    def verify_suffix(self, filename: Sequence[PathText] | PathText) -> bool:
        """Whether every file has a suffix of ours or is DICOM by its content."""
        paths = (handle.path for handle in handles(filename))
        return all(is_nifti(path) or is_picture(path) or self._dicom.verify_suffix(path) for path in paths)

    def read(self, data: Sequence[PathText] | PathText, **kwargs: Any) -> list[FrameHandle]:
        """Name the frame; nothing is opened before `get_data`: `LoadImage` has no reason to fall back."""
        return handles(data)

    def get_data(self, img: Sequence[FrameHandle]) -> tuple[np.ndarray, dict[str, Any]]:
        """Decode the frame: its array (C, H, W) in its own dtype, and its metadata.

        Raises:
            InputError: the file is missing, broken, of several frames, empty, or holds NaN or infinite
                values.
        """
        handle = the_only(img)
        path = handle.path
        if not is_nifti(path) and not is_picture(path):
            return self._dicom.get_data(img)
        if handle.frame_index is not None or not path.is_file():
            numbered = handle.frame_index is not None
            found = "a frame index behind a picture's name" if numbered else "no file of that name"
            raise InputError("an image file", found=found, remedy="Check the path.", path=path)
        spacing = None
        if is_nifti(path):
            array, white, spacing = read_nifti(path)
        else:
            array, white = read_picture(path, as_labels=self.as_labels)
        _check_values(array, path)
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
    """Load one frame as a `MetaTensor` (C, H, W) with `FrameReader` alone: what it refuses, no other reader
    reads.

    The dtype is the file's, or the next wider one that PyTorch computes with. The metadata carries the
    frame's ``case``, a keyed hash, in place of its path, so that it can be logged.

    Args:
        as_labels: see `FrameReader`.

    >>> image = LoadFrame()(f"{cine}#frame_index=1")
    >>> image.shape, image.meta["spacing_mm"]
    (torch.Size([1, 60, 80]), [0.5, 0.5])
    """

    def __init__(self, as_labels: bool = False) -> None:
        self.reader = FrameReader(as_labels)

    def __call__(self, path: PathText, case: str | None = None) -> MetaTensor:
        """Load ``path``, of ``case`` or else of a case named by the path's keyed hash.

        Raises:
            PyrasegError: as `FrameReader.get_data`, with the case in its sentence.
        """
        case = case or case_name(str(path))
        try:
            array, metadata = self.reader.get_data(self.reader.read(path))
        except PyrasegError as error:
            found = f"{error.found}, in case {case}"
            raise type(error)(error.wanted, found=found, remedy=error.remedy, path=error.path) from None
        # Tensors, not NumPy arrays: a dataset's cache is read back with weights_only, which refuses those
        plain = {key: torch.as_tensor(v) if isinstance(v, np.ndarray) else v for key, v in metadata.items()}
        return MetaTensor(torch.from_numpy(_torch_array(array)), meta=plain | {"case": case})


class LoadFramed(MapTransform):
    """`LoadFrame` on the entries of a dictionary.

    Args:
        keys: entries that hold path strings.
        label_keys: those of them that are masks.
        allow_missing_keys: pass over keys that an item lacks.

    >>> LoadFramed("image")({"image": picture})["image"].shape
    torch.Size([1, 60, 80])
    """

    def __init__(
        self,
        keys: KeysCollection,
        *,
        label_keys: KeysCollection = ("label",),
        allow_missing_keys: bool = False,
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        self.label_keys = frozenset(ensure_tuple(label_keys))
        self.load_image, self.load_label = LoadFrame(), LoadFrame(as_labels=True)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Load every entry; an item's ``case`` names it, else each path's keyed hash does."""
        item = dict(data)
        for key in self.key_iterator(item):
            load = self.load_label if key in self.label_keys else self.load_image
            item[key] = load(item[key], item.get("case"))
        return item


def _check_values(array: np.ndarray, path: Path) -> None:
    if 0 in array.shape:
        found = f"an image of {array.shape[1]} x {array.shape[2]} pixels"
    elif array.dtype.kind == "f" and not np.isfinite(array).all():
        found = "NaN or infinite values"
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
