"""MONAI's image reader for DICOM frames."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from monai.data import ImageReader

from transforms.dicom.calibration import Calibration, calibrate
from transforms.dicom.decode import CineReader
from transforms.dicom.header import has_dicom_marker, malformed
from transforms.dicom.paths import frame_path, split_frame_path
from transforms.errors import InputError
from transforms.frame_metadata import frame_metadata

__all__ = ["DicomReader", "FrameHandle", "handles", "the_only"]

PathText = str | PathLike[str]


@dataclass(frozen=True)
class FrameHandle:
    """A frame that is still to be read: the file, and the frame's index from 0 or None where the text names none."""

    path: Path
    frame_index: int | None


def handles(data: Sequence[PathText] | PathText) -> list[FrameHandle]:
    """The frames that path strings name; no file is touched."""
    texts = [data] if isinstance(data, str | PathLike) else list(data)
    return [FrameHandle(*split_frame_path(str(text))) for text in texts]


def the_only(img: Sequence[FrameHandle]) -> FrameHandle:
    """The one frame of an item.

    Raises:
        InputError: there are several; stacking files as channels would mix images.
    """
    if len(img) != 1:
        raise InputError("one frame per item", found=f"{len(img)} paths", remedy="Give each frame an item of its own.")
    return img[0]


class DicomReader(ImageReader):
    """Reads one frame of a DICOM ultrasound or secondary capture image as (C, H, W), row first, in its own dtype.

    For MONAI's `LoadImage(reader=DicomReader)`. A frame of a multi-frame file is named ``cine.dcm#frame_index=3``.

    `LoadImage` falls back to other readers, which get the geometry of cines wrong, when `read` fails, but not when
    `get_data` does: so `read` only takes the path apart, and `get_data` decodes and refuses.
    """

    def verify_suffix(self, filename: Sequence[PathText] | PathText) -> bool:
        """Whether every file is DICOM: by its content, because DICOM files have any suffix or none."""
        return all(has_dicom_marker(handle.path) for handle in handles(filename))

    def read(self, data: Sequence[PathText] | PathText, **kwargs: Any) -> list[FrameHandle]:
        """Name the frames; nothing is opened before `get_data`."""
        return handles(data)

    def get_data(self, img: Sequence[FrameHandle]) -> tuple[np.ndarray, dict[str, Any]]:
        """Decode the frame.

        Returns:
            the array (C, H, W) and its metadata: `transforms.frame_metadata`, and ``frame_index``,
            ``number_of_frames``, ``modality``, ``photometric_interpretation`` (the file's), ``tissue_box`` (row0,
            col0, row1, col1, half-open).

        Raises:
            InputError: the file cannot be read right, or has several frames and none is named.
        """
        handle = the_only(img)
        cine, calibration = _opened(handle.path)
        index = _frame_index(handle, len(cine))
        array = cine.frame(index)
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


def _frame_index(handle: FrameHandle, frames: int) -> int:
    if handle.frame_index is None and frames > 1:
        example = frame_path("FILE", 0)
        raise InputError(
            "one frame",
            found=f"a file of {frames} frames",
            remedy=f"Name the frame behind the file, counted from 0: {example} to {frame_path('', frames - 1)}.",
            path=handle.path,
        )
    return handle.frame_index or 0


def _opened(path: Path) -> tuple[CineReader, Calibration]:
    """The file's parsed header, kept for the frames that follow; a file that has changed is read anew."""
    try:
        status = path.stat()
    except OSError:
        return _open(path, 0, 0)  # which refuses it
    return _open(path, status.st_mtime_ns, status.st_size)


@lru_cache(maxsize=16)
def _open(path: Path, modified: int, size: int) -> tuple[CineReader, Calibration]:
    cine = CineReader(path)
    with malformed("ultrasound regions", path=path, found="ones that cannot be read", remedy="Export the file again."):
        return cine, calibrate(cine.header.dataset, cine.header.rows, cine.header.columns)
