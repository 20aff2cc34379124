"""Sizes of images and values of masks, by the header alone if possible."""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import ExifTags

from pyraseg.transforms.dicom.files.header import read_header
from pyraseg.transforms.dicom.files.objects import volume_modality
from pyraseg.transforms.dicom.files.values import malformed
from pyraseg.transforms.dicom.pixels.decode import CineReader
from pyraseg.transforms.errors import InputError, LabelError
from pyraseg.transforms.io.frames import open_picture
from pyraseg.transforms.io.nifti_files import nifti_data, open_nifti
from pyraseg.transforms.io.paths import PICTURE_SUFFIXES, is_nifti, is_picture

__all__ = ["Grid", "MaskValues", "mask_values", "read_grid", "stem"]


@dataclass(frozen=True)
class Grid:
    """The size of a file's pixels; ``depth`` counts the frames of a DICOM cine, or the slices of a volume.

    A single slice is a frame, whatever its modality.
    """

    rows: int
    columns: int
    depth: int = 1
    cine: bool = False
    volume: bool = False

    def __str__(self) -> str:
        return f"{self.rows}x{self.columns}" + (f"x{self.depth}" if self.depth > 1 else "")


def stem(path: str | Path) -> str:
    """The file's name without its ending; ".nii.gz" is one ending, and the dots of a UID are none."""
    name = Path(path).name
    for ending in (".nii.gz", ".nii", ".dcm", ".dicom", *PICTURE_SUFFIXES):
        if name.lower().endswith(ending):
            return name[: -len(ending)]
    return name


def read_grid(path: Path) -> Grid:
    """The size of an image from its header, row first for all kinds of files (NIfTI counts (x, y, z)).

    Raises:
        InputError: not an image, or one without pixels.
    """
    read = _nifti_grid if is_nifti(path) else _raster_grid if is_picture(path) else _dicom_grid
    grid = read(path)
    if min(grid.rows, grid.columns, grid.depth) < 1:
        remedy = "Replace the file or leave it out."
        raise InputError("an image with pixels", found=f"one of {grid}", remedy=remedy, path=path)
    return grid


def _raster_grid(path: Path) -> Grid:
    with open_picture(path) as image, _decodable(path):
        turned = image.getexif().get(ExifTags.Base.Orientation, 1) >= 5
        # the frame reader turns such a picture upright
        return Grid(image.width, image.height) if turned else Grid(image.height, image.width)


def _nifti_grid(path: Path) -> Grid:
    shape = [*open_nifti(path).shape, 1, 1, 1]
    return Grid(rows=int(shape[1]), columns=int(shape[0]), depth=int(shape[2]), volume=shape[2] > 1)


def _dicom_grid(path: Path) -> Grid:
    header = read_header(path)
    several, volume = (
        header.number_of_frames > 1,
        bool(volume_modality(header.sop_class_uid, header.modality)),
    )
    kinds = {"cine": several and not volume, "volume": several and volume}
    return Grid(header.rows, header.columns, header.number_of_frames, **kinds)


@dataclass(frozen=True)
class MaskValues:
    """The values that occur in a mask; those of one bit are 0 and 1, though they open as 0 and 255."""

    values: frozenset[int]
    one_bit: bool = False


def mask_values(path: Path, frame: int | None = None) -> MaskValues:
    """The values that occur in a mask, or in one frame of a multi-frame DICOM mask.

    Raises:
        InputError: the mask cannot be read.
        LabelError: it has colours or fractions.
    """
    if is_picture(path):
        return _raster_values(path)
    nifti = is_nifti(path)
    values = np.unique(nifti_data(open_nifti(path), path)) if nifti else _dicom_values(path, frame)
    if not np.all(values == np.round(values)):  # NaN is unequal to itself, so it is refused here
        remedy = "Save labels, not probabilities."
        raise LabelError("a mask of whole numbers", found="fractions", remedy=remedy, path=path)
    return MaskValues(frozenset(int(value) for value in values))


def _raster_values(path: Path) -> MaskValues:
    with open_picture(path) as image, _decodable(path):
        if len(image.getbands()) > 1 and image.mode not in {"LA", "La"}:
            found, remedy = f"a colour mask ({image.mode})", "Save it as greyscale with one value a class."
            raise LabelError("a mask with one channel", found=found, remedy=remedy, path=path)
        if image.mode in {"L", "P"}:  # several times as fast as sorting the pixels
            return MaskValues(frozenset(value for value, count in enumerate(image.histogram()) if count))
        values = np.unique(np.asarray(image.getchannel(0)))
        return MaskValues(frozenset(int(value) for value in values), one_bit=image.mode == "1")


def _decodable(path: Path) -> AbstractContextManager[None]:
    found = "a damaged or another kind of file"
    return malformed("a readable picture", path=path, found=found, remedy="Replace the file or leave it out.")


def _dicom_values(path: Path, frame: int | None) -> np.ndarray:
    """Of all frames or one, each decoded alone."""
    reader = CineReader(path)
    indices = range(len(reader)) if frame is None else [frame]
    return np.unique(np.concatenate([np.unique(reader.frame(each, as_labels=True)) for each in indices]))
