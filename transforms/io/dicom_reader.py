"""MONAI image reader for DICOM: frames of ultrasound, volumes of CT, MR and PET."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from monai.data import ImageReader
from monai.utils import MetaKeys, SpaceKeys

from pyraseg.transforms.dicom.calibration import Calibration, calibrate
from pyraseg.transforms.dicom.files.content import is_dicom
from pyraseg.transforms.dicom.files.header import ImageHeader, parse_file, read_header
from pyraseg.transforms.dicom.files.objects import passed_over
from pyraseg.transforms.dicom.files.opening import file_version
from pyraseg.transforms.dicom.files.search import search
from pyraseg.transforms.dicom.files.values import readable
from pyraseg.transforms.dicom.pixels.decode import CineReader
from pyraseg.transforms.dicom.series.find import find_series, the_series
from pyraseg.transforms.dicom.series.planes import VOLUME_TAGS
from pyraseg.transforms.dicom.series.volume import Volume, read_series
from pyraseg.transforms.errors import InputError
from pyraseg.transforms.io.display_range import ValueRange
from pyraseg.transforms.io.paths import frame_path, split_frame_path
from pyraseg.transforms.io.reading_options import ReadingOptions

__all__ = [
    "DicomReader",
    "FrameHandle",
    "frame_metadata",
    "handles",
    "listed",
    "open_frames",
    "spatial_metadata",
    "the_only",
    "volume_metadata",
]

PathText = str | PathLike[str]


@dataclass(frozen=True)
class FrameHandle:
    """A frame to read: its file, its index from 0 or None, and the file's reader if its header is known."""

    path: Path
    frame_index: int | None
    opened: tuple[CineReader, Calibration] | None = field(default=None, repr=False, compare=False)


Named = PathText | FrameHandle


def open_frames(header: ImageHeader, value_range: ValueRange | None = None) -> list[FrameHandle]:
    """All frames of a file with a parsed header, which `DicomReader` accepts in place of paths.

    Args:
        value_range: see `ReadingOptions`.

    Raises:
        InputError: its frames cannot be read correctly.
    """
    opened = _calibrated(header, value_range)
    return [FrameHandle(header.path, index, opened) for index in range(len(opened[0]))]


def listed(data: Any) -> list[Any]:
    """One path or handle, or several, as a list."""
    return [data] if isinstance(data, str | PathLike | FrameHandle) else list(data)


def handles(data: Sequence[Named]) -> list[FrameHandle]:
    """The frames that paths name; no file is opened.

    Raises:
        InputError: as `split_frame_path`.
    """
    return [each if isinstance(each, FrameHandle) else FrameHandle(*split_frame_path(each)) for each in data]


def the_only(img: Sequence[FrameHandle]) -> FrameHandle:
    """The only frame of an item.

    Raises:
        InputError: there are several; stacking files as channels would mix images.
    """
    if len(img) != 1:
        remedy = "Give each frame an item of its own."
        raise InputError("one frame per item", found=f"{len(img)} paths", remedy=remedy)
    return img[0]


class DicomReader(ImageReader):
    """Reads a frame of ultrasound as (C, H, W), row first, and a CT, MR or PET series as (1, X, Y, Z).

    For MONAI's `LoadImage(reader=DicomReader)`. A frame of a multi-frame file is named
    ``cine.dcm#frame_index=3``, in its own dtype. A series is a folder, its files, or one enhanced multi-frame
    file; HU, SUVbw or MR intensities, int16 or float32.

    When `read` fails, `LoadImage` tries other readers, which get the geometry of cines wrong; not when
    `get_data` fails. So `read` only lists the paths, and `get_data` decodes and refuses.

    Args:
        series, stack, repair, assume_hu: for volumes, see `ReadingOptions`.
        value_range: for frames, see `ReadingOptions`.
        workers: see `pyraseg.transforms.dicom.read_series`.
        as_labels: frames of one sample are masks: they keep their stored values, whatever shows them.

    >>> from monai.transforms import LoadImage
    >>> load = LoadImage(reader=DicomReader)
    >>> load(f"{cine}#frame_index=1").shape, load(series).shape
    (torch.Size([1, 60, 80]), torch.Size([1, 8, 6, 5]))
    """

    def __init__(
        self,
        *,
        series: int | None = None,
        stack: int | None = None,
        repair: Collection[str] = (),
        assume_hu: bool = False,
        value_range: tuple[float, float] | None = None,
        workers: int | None = None,
        as_labels: bool = False,
    ) -> None:
        self._options = ReadingOptions(series, stack, repair, assume_hu, value_range=value_range)
        self._workers, self._as_labels = workers, as_labels

    def verify_suffix(self, filename: Sequence[Named] | Named) -> bool:
        """Whether every file, or one in every folder, is DICOM by its content: suffixes say nothing."""
        return all(any(map(is_dicom, search(each.path)[0])) for each in handles(listed(filename)))

    def read(self, data: Sequence[Named] | Named, **kwargs: Any) -> list[Named]:
        """List the paths; `get_data` looks what they name, and opens the files."""
        return listed(data)

    def get_data(self, img: Sequence[Named]) -> tuple[np.ndarray, dict[str, Any]]:
        """Decode the frame or the volume.

        Returns:
            For a frame the array (C, H, W) and its metadata: `frame_metadata`, and ``frame_index``,
            ``number_of_frames``, ``modality``, ``photometric_interpretation`` (the file's), ``tissue_box``
            (row0, col0, row1, col1, half-open); for a series (1, X, Y, Z) and `volume_metadata`.

        Raises:
            InputError: the file cannot be read correctly, or has several frames and none is named.
            GeometryError: the files are not one volume; the message lists what they are.
        """
        named = handles(img)
        if len(named) != 1 or named[0].path.is_dir():
            return self._volume(named) if _holds_volume(named) else self._frame(the_only(named))
        try:
            return self._frame(named[0])
        except InputError:
            if _holds_volume(named):
                return self._volume(named)
            raise

    def _frame(self, handle: FrameHandle) -> tuple[np.ndarray, dict[str, Any]]:
        cine, calibration = handle.opened or _opened(handle.path, self._options.value_range)
        index = _frame_index(handle, len(cine))
        array = cine.frame(index, as_labels=self._as_labels)
        metadata = frame_metadata(
            array.shape,
            spacing_mm=calibration.spacing_mm,
            spacing_source=calibration.source,
            display_max=cine.display_max,
            frame_index=index,
            number_of_frames=len(cine),
            modality=cine.header.modality,
            photometric_interpretation=cine.header.photometric,
            tissue_box=list(calibration.tissue_box) if calibration.tissue_box else None,
        )
        return array, metadata

    def _volume(self, img: Sequence[FrameHandle]) -> tuple[np.ndarray, dict[str, Any]]:
        options = self._options.of_images
        series = the_series(find_series([handle.path for handle in img]), number=options.pop("series"))
        volume = read_series(series, **options, workers=self._workers)
        return volume.array[None], volume_metadata(volume)


def frame_metadata(
    shape: tuple[int, ...],
    *,
    spacing_mm: tuple[float, float] | None,
    spacing_source: str,
    display_max: float,
    **more: Any,
) -> dict[str, Any]:
    """Metadata of an array of ``shape`` (C, H, W).

    The affine is diag(row spacing, column spacing, 1, 1) in mm with its origin at 0. Without calibration it
    is the identity, and ``spacing_mm`` is absent. Entries of ``more`` that are None are left out.
    """
    more |= {"spacing_mm": [float(side) for side in spacing_mm] if spacing_mm else None}
    known = {key: value for key, value in more.items() if value is not None}
    known |= {"spacing_source": spacing_source, "display_max": display_max}
    return spatial_metadata(np.diag([*(spacing_mm or (1.0, 1.0)), 1.0, 1.0]), shape[1:]) | known


def spatial_metadata(affine: np.ndarray, shape: Sequence[int]) -> dict[str, Any]:
    """What MONAI's transforms ask of an array whose axes behind the channel have this shape."""
    return {
        str(MetaKeys.AFFINE): affine,
        str(MetaKeys.ORIGINAL_AFFINE): affine.copy(),
        str(MetaKeys.SPATIAL_SHAPE): np.asarray(shape, dtype=np.int64),
        str(MetaKeys.SPACE): str(SpaceKeys.RAS),
        str(MetaKeys.ORIGINAL_CHANNEL_DIM): 0,
    }


def volume_metadata(volume: Volume) -> dict[str, Any]:
    """Affine to RAS+ mm, spacing, unit, modality and the series' UID; nothing that identifies a patient."""
    return spatial_metadata(volume.grid.affine, volume.grid.shape) | {
        "spacing_mm": list(volume.grid.spacing),
        "spacing_source": "series",
        "unit": volume.unit,
        "modality": volume.modality,
        "series_instance_uid": volume.source.series_instance_uid,
    }


def _holds_volume(img: Sequence[FrameHandle]) -> bool:
    """Whether the paths are a folder, slices of CT, MR or PET, or one multi-frame file of these."""
    if not img or any(handle.frame_index is not None for handle in img):
        return False
    if any(handle.path.is_dir() for handle in img):
        return True
    return any(_is_of_volume(handle.path, alone=len(img) == 1) for handle in img)


def _is_of_volume(path: Path, *, alone: bool) -> bool:
    try:
        parsed = parse_file(path, tags=VOLUME_TAGS)
    except InputError:
        return False
    return not passed_over(parsed) and (not alone or parsed.text("NumberOfFrames") not in ("", "1"))


def _frame_index(handle: FrameHandle, frames: int) -> int:
    if handle.frame_index is None and frames > 1:
        first, last = frame_path("FILE", 0), frame_path("", frames - 1)
        remedy = f"Name the frame behind the file, counted from 0: {first} to {last}."
        raise InputError("one frame", found=f"a file of {frames} frames", remedy=remedy, path=handle.path)
    return handle.frame_index or 0


def _opened(path: Path, value_range: ValueRange | None) -> tuple[CineReader, Calibration]:
    """The file's parsed header, kept for further frames; a changed file is read again."""
    try:
        return _open(path, file_version(path.stat()), value_range)
    except OSError:
        return _open(path, (), value_range)  # which refuses it


@lru_cache(maxsize=16)
def _open(
    path: Path, version: tuple[int, ...], value_range: ValueRange | None
) -> tuple[CineReader, Calibration]:
    return _calibrated(read_header(path), value_range)


def _calibrated(header: ImageHeader, value_range: ValueRange | None) -> tuple[CineReader, Calibration]:
    cine = CineReader(header, value_range=value_range)
    found, remedy = "ones that cannot be read", "Export the file again."
    with readable("ultrasound regions", path=header.path, found=found, remedy=remedy):
        return cine, calibrate(header.dataset, header.rows, header.columns)
